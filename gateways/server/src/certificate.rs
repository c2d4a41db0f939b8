//! The certificate of the HTTP side: read from its two files, looked at again every few seconds, and replaced while the
//! server runs. What cannot be used changes nothing: the certificate from before stays, and the log says once what is wrong
//! and what mends it. Nothing here asks anybody for a certificate.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::Certificate;
use domain::time::{Span, Timestamp};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::Tls;
use crate::failure::{Failure, Outcome};
use crate::operator::Host;

/// So long before its end a certificate is complained of: the usual renewal is 30 days ahead, so by then it has failed.
const AHEAD: Span = Span::days(14);
/// And so often.
const REMIND: Duration = Duration::from_secs(86_400);

/// More is read of no file: whatever it is, it is no certificate.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What stands in the two files.
#[derive(PartialEq, Eq)]
struct Content {
    chain: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

/// The certificate that is served, and where the next one comes from.
pub(crate) struct Certificates {
    tls: Tls,
    renewal: api::Renewal,
    state: Mutex<State>,
}

struct State {
    /// The one that is served.
    served: Certificate,
    /// What was found at the last look; what was wrong with it, if it could not be read.
    seen: Result<Content, String>,
    /// Whether that cannot be used.
    is_unusable: bool,
    /// When the log last said that the end is near.
    reminded: Option<Instant>,
}

impl Certificates {
    /// Reads the files that `tls` names; and what the listener offers from now on.
    ///
    /// # Errors
    /// A file that is missing, open to others, or of no use, with its remedy.
    pub(crate) fn open(tls: &Tls) -> Outcome<(Self, api::Tls)> {
        let content = content(tls)?;
        let served = certificate(tls, &content)?;
        let (offer, renewal) = api::Tls::new(&served);
        let state = State { served, seen: Ok(content), is_unusable: false, reminded: None };
        Ok((Self { tls: tls.clone(), renewal, state: Mutex::new(state) }, offer))
    }

    /// The server's own certificate, in DER.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.state().served.der().to_vec()
    }

    /// What is wrong with it, for everybody's eyes.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state();
        let unusable = "its replacement cannot be used: see the log of the process".to_owned();
        let end = state.served.end().and_then(|end| near(end, Clock::default().now()));
        end.or_else(|| state.is_unusable.then_some(unusable))
    }

    /// Looks after it until the end of the process. `host` tells commands of this machine which certificate to expect.
    pub(crate) async fn keep(self: Arc<Self>, host: Arc<Host>, stopping: CancellationToken) {
        self.remind();
        while stopping.run_until_cancelled(tokio::time::sleep(self.tls.poll)).await.is_some() {
            self.look(&host).await;
            self.remind();
        }
    }

    /// Takes what is new in the files, if it can be used.
    async fn look(&self, host: &Host) {
        let tls = self.tls.clone();
        // Files may lie on a disk that does not answer.
        let Ok(found) = tokio::task::spawn_blocking(move || content(&tls)).await else { return };
        let usable = found.as_ref().map_err(Clone::clone).and_then(|content| certificate(&self.tls, content));
        let seen = found.map_err(|failure| failure.line());
        let mut state = self.state();
        if state.seen == seen {
            return;
        }
        state.seen = seen;
        state.is_unusable = usable.is_err();
        match usable {
            Err(failure) => {
                drop(state);
                let why = failure.line();
                tracing::warn!("the certificate is not replaced, and the one from before stays: {why}");
            }
            Ok(fresh) => {
                state.reminded = None;
                state.served = fresh.clone();
                drop(state);
                // Commands first: whoever asks from now on expects it.
                if let Err(failure) = host.announce() {
                    let why = failure.line();
                    tracing::warn!("commands of this machine are not told of the new certificate: {why}");
                }
                self.renewal.replace(&fresh);
                let end = fresh.end().map(tracing::field::display);
                tracing::info!(end, "new connections get the certificate that was put in its place");
            }
        }
    }

    /// Says once a day that the end is near.
    fn remind(&self) {
        let mut state = self.state();
        let Some(end) = state.served.end().and_then(|end| near(end, Clock::default().now())) else { return };
        if state.reminded.is_some_and(|last| last.elapsed() < REMIND) {
            return;
        }
        state.reminded = Some(Instant::now());
        drop(state);
        let path = self.tls.certificate.display();
        tracing::warn!(
            "the certificate {path} {end}: put a new one and its key in their files, without a restart"
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to say of an end, if it is near or over.
fn near(end: Timestamp, now: Timestamp) -> Option<String> {
    match end.ms().saturating_sub(now.ms()) {
        ..0 => Some(format!("ended at {end}, and clients refuse it")),
        left if left < AHEAD.ms() => Some(format!("ends at {end}")),
        _ => None,
    }
}

fn certificate(tls: &Tls, content: &Content) -> Outcome<Certificate> {
    Certificate::read(&content.chain, &content.key).map_err(|error| {
        let (what, path) = match error.is_about_certificate() {
            true => ("certificate", &tls.certificate),
            false => ("key", &tls.key),
        };
        Failure::new(format!("the TLS {what} file {} {error}", path.display())).help(error.help())
    })
}

fn content(tls: &Tls) -> Outcome<Content> {
    let chain = read(&tls.certificate, "certificate", "http.tls_cert", |_| Ok(()))?;
    let key = read(&tls.key, "key", "http.tls_key", |file| check_private(file, &tls.key))?;
    Ok(Content { chain, key })
}

fn read(
    path: &Path,
    what: &str,
    name: &str,
    check: impl Fn(&File) -> Outcome<()>,
) -> Outcome<Zeroizing<Vec<u8>>> {
    let unreadable = |error| {
        Failure::new(format!("the TLS {what} file {} cannot be read: {error}", path.display())).help(format!(
            "Put it there, readable by the user of this process, or name another one in `{name}`."
        ))
    };
    let file = File::open(path).map_err(unreadable)?;
    check(&file)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A key that others may read is no secret. It is the open file that is looked at, as with the key ring.
#[cfg(unix)]
fn check_private(file: &File, path: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_or(0o7777, |about| about.permissions().mode() & 0o7777);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::new(format!("the TLS key file {path} is open to other users (mode {mode:04o})"))
        .help(format!("Whoever reads it can pose as this server: run `chmod 600 {path}`.")))
}

#[cfg(not(unix))]
fn check_private(_: &File, _: &Path) -> Outcome<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_from_fourteen_days_before_it_on() {
        let end = Timestamp(1_900_000_000_000);
        let at = |span: Span| near(end, Timestamp(end.ms() - span.ms()));
        assert_eq!(at(AHEAD), None);
        assert_eq!(at(Span::seconds(1)).as_deref(), Some("ends at 2030-03-17T17:46:40.000Z"));
        assert_eq!(at(Span(AHEAD.ms() - 1)), at(Span::seconds(1)));
        assert!(at(Span(-1)).is_some_and(|told| told.starts_with("ended at ")));
    }
}
