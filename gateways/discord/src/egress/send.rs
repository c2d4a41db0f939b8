//! One call from its place in the queue to its answer: wait, send, judge, repeat.
//!
//! It never repeats a request whose answer was lost unless the request says that this is harmless.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::Value;

use super::Inner;
use super::answer::{Answer, Limited};
use super::error::EgressError;
use super::limiter::{Lesson, Ticket, Turn};
use super::request::{Request, percent};
use super::route::Route;

/// What one attempt came to.
enum Verdict {
    Final(Result<Value, EgressError>),
    /// Worth another try after this pause; the error is the answer if there are no tries left.
    Again(Duration, EgressError),
}

/// Why no answer came.
struct Failure {
    /// Whether Discord may have got the request.
    sent: bool,
    what: String,
}

/// A waiter's seat; leaving it makes room.
struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn seat(inner: &Inner, full: bool) -> Result<Seat<'_>, EgressError> {
    let seat = Seat(&inner.waiting);
    if inner.waiting.fetch_add(1, Ordering::Relaxed) >= inner.config.waiting_max && full {
        return Err(EgressError::Full);
    }
    Ok(seat)
}

/// The whole call.
pub(super) async fn call(inner: &Inner, request: &Request) -> Result<Value, EgressError> {
    let plain = request.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
    if !plain || !request.path.starts_with('/') || request.path.split('/').any(|part| part == "..") {
        return Err(EgressError::Unreadable("the path of the request is malformed".into()));
    }
    inner.watch.permit()?;
    let mut waiting = Some(seat(inner, true)?);
    let ticket = inner.limiter.join(Route::of(request));
    for tried in 1.. {
        wait_turn(inner, &ticket).await?;
        drop(waiting.take());
        match attempt(inner, request, &ticket, tried).await {
            Verdict::Final(result) => return result,
            Verdict::Again(_, last) if tried >= inner.config.tries.max(1) => return Err(last),
            Verdict::Again(pause, _) => {
                // Whoever was let in once is not turned away at the door.
                waiting = Some(seat(inner, false)?);
                tokio::time::sleep(pause).await;
            }
        }
    }
    drop(waiting);
    Err(EgressError::Stopped)
}

/// Waits for the lane, then for the gate, and looks each time whether anything may be sent at all.
async fn wait_turn(inner: &Inner, ticket: &Ticket) -> Result<(), EgressError> {
    loop {
        inner.watch.permit()?;
        match ticket.turn(inner.config.patience).await {
            Turn::Look => {}
            Turn::Closed(retry_after) => return Err(EgressError::RateLimited { retry_after }),
            Turn::Go => break,
        }
    }
    inner.watch.permit()?;
    inner
        .gate
        .pass(inner.config.patience)
        .await
        .map_err(|retry_after| EgressError::RateLimited { retry_after })?;
    inner.watch.permit()
}

async fn attempt(inner: &Inner, request: &Request, ticket: &Ticket, tried: u32) -> Verdict {
    let began = Instant::now();
    let template = ticket.route().template.as_str();
    inner.watch.sent();
    let answer = match transmit(inner, request).await {
        Ok(answer) => answer,
        Err(failure) => {
            tracing::debug!(route = template, failure = %failure.what, tried, "no answer from Discord");
            ticket.done(&Lesson::Nothing);
            return lost(inner, request, tried, failure);
        }
    };
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(route = template, status = answer.status, took_ms, tried, "answer from Discord");
    let shared = answer.limited.as_ref().is_some_and(|limited| limited.shared);
    let invalid = matches!(answer.status, 401 | 403 | 429) && !shared;
    inner.watch.answered(answer.status, invalid, refuses_us(request, &answer));
    if let Some(limited) = &answer.limited {
        return limited_verdict(inner, ticket, &answer, limited);
    }
    ticket.done(&match answer.status {
        401 | 500.. => Lesson::Nothing,
        _ => Lesson::Limits(answer.limits.clone()),
    });
    judge(inner, request, tried, answer)
}

/// Discord: the token in the path of a webhook is none, or no longer.
const WEBHOOK_TOKEN: u32 = 50_027;

/// Whether it is the bot's token that Discord refuses, and not the one in the path of a webhook.
fn refuses_us(request: &Request, answer: &Answer) -> bool {
    answer.status == 401 && !(request.path.starts_with("/webhooks/") && answer.refusal().0 == WEBHOOK_TOKEN)
}

fn judge(inner: &Inner, request: &Request, tried: u32, answer: Answer) -> Verdict {
    match answer.status {
        200..300 => Verdict::Final(answer.body.map_err(EgressError::Unreadable)),
        401 if refuses_us(request, &answer) => {
            inner.watch.failed("Discord answered 401".into());
            inner.limiter.wake_all();
            Verdict::Final(Err(EgressError::Unauthorized))
        }
        status @ 400..500 => {
            let (code, message) = answer.refusal();
            if inner.watch.permit().is_err() {
                inner.limiter.wake_all();
            }
            Verdict::Final(Err(EgressError::Discord { status, code, message }))
        }
        status => {
            let what = format!("Discord answered {status}");
            inner.watch.failed(what.clone());
            let error = EgressError::Unavailable(what);
            if status >= 500 && request.repeatable {
                Verdict::Again(pause(inner.config.backoff, tried), error)
            } else {
                Verdict::Final(Err(error))
            }
        }
    }
}

fn limited_verdict(inner: &Inner, ticket: &Ticket, answer: &Answer, limited: &Limited) -> Verdict {
    let retry_after = limited.retry_after;
    let wait_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    let (global, shared) = (limited.global, limited.shared);
    tracing::warn!(route = ticket.route().template, wait_ms, global, shared, "Discord limits the bot");
    if global {
        inner.gate.close(retry_after + Duration::from_millis(20));
        ticket.done(&Lesson::Nothing);
    } else {
        ticket.done(&Lesson::Limited(answer.limits.clone(), retry_after));
    }
    if inner.watch.permit().is_err() {
        inner.limiter.wake_all();
    }
    // The lane or the gate holds the pause, and the ticket keeps its place before all who came later.
    Verdict::Again(Duration::ZERO, EgressError::RateLimited { retry_after })
}

fn lost(inner: &Inner, request: &Request, tried: u32, failure: Failure) -> Verdict {
    inner.watch.failed(failure.what.clone());
    let repeat = request.repeatable || !failure.sent;
    let error = EgressError::Unavailable(failure.what);
    if repeat {
        Verdict::Again(pause(inner.config.backoff, tried), error)
    } else {
        Verdict::Final(Err(error))
    }
}

async fn transmit(inner: &Inner, request: &Request) -> Result<Answer, Failure> {
    let mut url = format!("{}/api/v10{}", inner.config.api_base.trim_end_matches('/'), request.path);
    if let Some(query) = &request.query {
        url.push('?');
        url.push_str(query);
    }
    let mut call =
        inner.http.request(request.method.clone(), url).header(AUTHORIZATION, &inner.authorization);
    if let Some(body) = &request.body {
        call = call.header(CONTENT_TYPE, "application/json").body(body.to_string());
    } else if request.method != reqwest::Method::GET {
        // A PUT without a body states its length, which Discord's edge asks for.
        call = call.header(reqwest::header::CONTENT_LENGTH, "0");
    }
    if let Some(reason) = &request.reason {
        call = call.header("X-Audit-Log-Reason", percent(reason));
    }
    let response = call
        .send()
        .await
        .map_err(|why| Failure { sent: !(why.is_connect() || why.is_builder()), what: describe(why) })?;
    Answer::read(response).await.map_err(|what| Failure { sent: true, what })
}

/// The failure and its cause without the address, which may hold ids and tokens.
fn describe(why: reqwest::Error) -> String {
    let why = why.without_url();
    let kind = if why.is_timeout() { "timed out: " } else { "" };
    match std::error::Error::source(&why) {
        Some(cause) => format!("{kind}{why}: {cause}"),
        None => format!("{kind}{why}"),
    }
}

/// Doubles with each try, up to 32 times; the upper half is random so that callers part.
fn pause(base: Duration, tried: u32) -> Duration {
    let whole = base.saturating_mul(1 << tried.saturating_sub(1).min(5));
    let share = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    whole.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let base = Duration::from_millis(100);
        for tried in 1..40 {
            let pause = pause(base, tried);
            assert!(pause >= base / 2 && pause <= base * 32, "{tried}: {pause:?}");
        }
    }
}
