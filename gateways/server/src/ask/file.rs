//! What the server sends whole, written into a file or to the standard output while it comes. A file is complete or not
//! there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::query;
use crate::cli::{Import, Licenses};
use crate::config::Config;
use crate::door::{self, Door};
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::output::{Format, answer, cell};

/// Writes what `path` answers in a form (a media type).
///
/// # Errors
/// What the server refuses, or a file that is there already or cannot be written.
pub(super) async fn save(
    config: &Config,
    (path, form): (&str, &str),
    out: Option<&Path>,
    format: Format,
    text: fn(&Value) -> String,
) -> Outcome<()> {
    let target = out.map(Target::begin).transpose()?;
    let door = Door::open(config, "export").await?;
    let done = fetch(&door, path, form, target.as_ref()).await;
    door.close().await;
    let bytes = done?;
    let Some(target) = target else { return Ok(()) };
    let file = target.keep()?;
    let told = json!({ "file": file.display().to_string(), "bytes": bytes });
    answer(format, &told, text);
    Ok(())
}

/// Licenses, as CSV or JSON Lines.
///
/// # Errors
/// As [`save`].
pub(super) async fn licenses(config: &Config, asked: &Licenses, format: Format) -> Outcome<()> {
    let Licenses { guild, user, status, license_type, keys, lines, out } = asked;
    let query = query(&[
        ("guildId", guild.clone()),
        ("userId", user.clone()),
        ("status", status.clone()),
        ("type", license_type.clone()),
        ("keys", keys.then(|| "true".to_owned())),
    ]);
    let form = if *lines { "application/jsonl" } else { "text/csv" };
    let path = format!("/admin/licenses/export{query}");
    save(config, (&path, form), out.as_deref(), format, |told| {
        format!("{}: {} bytes", cell(told, "/file"), cell(told, "/bytes"))
    })
    .await
}

/// Brings the licenses of a CSV file in; done when the read models show them.
///
/// # Errors
/// A file that cannot be read, or what the server refuses.
pub(super) async fn import(config: &Config, asked: &Import, format: Format) -> Outcome<()> {
    let Import { file, guild, dry_run } = asked;
    let bytes = std::fs::read(file).attempt(|| format!("{} cannot be read", file.display()))?;
    let query = query(&[("guildId", Some(guild.clone())), ("dryRun", dry_run.then(|| "true".to_owned()))]);
    let door = Door::open(config, "import").await?;
    let sent = door.upload(&format!("/admin/licenses/import{query}"), "text/csv", bytes).await;
    let settled = match &sent {
        Ok(done) => door.settle(done.position.as_deref()).await,
        Err(_) => Ok(()),
    };
    door.close().await;
    let body = sent?.body;
    settled?;
    answer(format, &body, |told| {
        let lines = format!("{} made, {} here already", cell(told, "/created"), cell(told, "/existing"));
        if told["dryRun"].as_bool() == Some(true) { format!("{lines}; nothing was done") } else { lines }
    });
    Ok(())
}

async fn fetch(door: &Door, path: &str, form: &str, target: Option<&Target>) -> Outcome<u64> {
    let mut download = door.download(path, form).await?;
    let mut bytes = 0;
    while let Some(chunk) = download.chunk().await.map_err(door::failure)? {
        bytes += chunk.len() as u64;
        let written = match target {
            Some(target) => (&target.file).write_all(&chunk),
            None => std::io::stdout().write_all(&chunk),
        };
        written.attempt(|| "the export cannot be written".to_owned())?;
    }
    Ok(bytes)
}

/// A file under a name of its own until it is whole.
struct Target {
    file: File,
    draft: PathBuf,
    path: PathBuf,
}

impl Target {
    fn begin(path: &Path) -> Outcome<Self> {
        if path.exists() {
            return Err(Failure::refused(format!("{} is there already", path.display()))
                .help("Name another file with --out, or move that one away."));
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let file = File::create(&draft).attempt(|| format!("{} cannot be written", draft.display()))?;
        Ok(Self { file, draft, path: path.to_owned() })
    }

    fn keep(&self) -> Outcome<&Path> {
        let kept = self.file.sync_all().and_then(|()| std::fs::rename(&self.draft, &self.path));
        kept.attempt(|| format!("{} cannot be written", self.path.display()))?;
        Ok(&self.path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After the rename there is nothing left to remove.
        std::fs::remove_file(&self.draft).ok();
    }
}
