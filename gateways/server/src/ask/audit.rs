//! `audit`, `export audit`, `verify --export` and `verify --checkpoint`: a guild's events as a file, the check of such a file, which
//! needs nothing but the file, and the log against a checkpoint that was kept elsewhere. What is wrong with a file is judged in the domain; here it is read and told.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;

use client::Method;
use commands::signer;
use data_encoding::BASE64;
use domain::merkle::Hash;
use domain::merkle::proof::proves_consistency;
use domain::proof::{Checked, Checkpoint, Expected, ExportCheck, Fault, LogKey, Note};
use serde_json::{Value, json};

use super::{Ask, encoded, file, page, query, rows, unsound};
use crate::cli::{Audit, Verify};
use crate::config::Config;
use crate::door::Door;
use crate::failure::{Attempt as _, Failure, Outcome};
use crate::output::{Format, answer, cell, table};

/// Longest line that is read; an event has some kilobytes.
const LINE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Writes the events of `guild` into a file, or to the standard output.
///
/// # Errors
/// As [`file::save`].
pub(super) async fn export(config: &Config, guild: &str, out: Option<&Path>, format: Format) -> Outcome<()> {
    let path = format!("/guilds/{}/audit-log/export", encoded(guild));
    file::save(config, (&path, "application/jsonl"), out, format, |told| {
        let (file, bytes) = (cell(told, "/file"), cell(told, "/bytes"));
        format!("{file}: {bytes} bytes; `dca-auth verify --export {file}` checks it, with no server")
    })
    .await
}

/// The events that the filters hold, newest first.
pub(super) fn list(asked: Audit) -> Ask {
    let query = query(&[
        ("guildId", asked.guild),
        ("type", asked.event_type),
        ("actor", asked.actor),
        ("licenseId", asked.license),
        ("userId", asked.user),
        ("after", asked.after),
        ("before", asked.before),
        ("correlationId", asked.correlation),
        ("limit", asked.limit.map(|limit| limit.to_string())),
        ("cursor", asked.cursor),
    ]);
    Ask::get(format!("/admin/audit-log{query}"), listed)
}

fn listed(body: &Value) -> String {
    let members = ["/position", "/timestamp", "/type", "/aggregateId", "/actor", "/reason"];
    let rows: Vec<Vec<String>> =
        rows(body).iter().map(|one| members.iter().map(|member| cell(one, member)).collect()).collect();
    page(body, table(&["POSITION", "TIME", "EVENT", "OF", "ACTOR", "REASON"], &rows))
}

/// Checks a file by itself.
///
/// # Errors
/// A file that cannot be read, a key that is none, or a file that is not what was signed, naming the place.
pub(crate) fn verify(asked: &Verify, path: &Path, format: Format) -> Outcome<()> {
    let (key, any_epoch) = match &asked.public_key {
        Some(text) => public_key(text).map(|(key, any_epoch)| (Some(key), any_epoch))?,
        None => (None, false),
    };
    let unreadable = || format!("{} cannot be read", path.display());
    let mut file = BufReader::new(File::open(path).attempt(unreadable)?);
    let mut check = ExportCheck::new(Expected { key, any_epoch, verify: &signer::verify });
    let mut line = Vec::new();
    while file.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line).attempt(unreadable)? > 0 {
        check.take(&line);
        line.clear();
    }
    match check.finish() {
        Ok(checked) => {
            answer(format, &sound(&checked), |_| sound_lines(&checked));
            Ok(())
        }
        Err(faults) => {
            answer(format, &broken(&faults), |_| {
                faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
            });
            Err(unsound(format!("{} is not what was signed", path.display()))
                .help("Fetch the export anew; if it is like this every time, ask the operator for `dca-auth verify`."))
        }
    }
}

/// Compares the log with a checkpoint that somebody kept: by a path alone, whatever the server says.
///
/// # Errors
/// A file without a checkpoint of this log's key, or a log that does not begin as it was signed.
pub(super) async fn compare(config: &Config, file: &Path, format: Format) -> Outcome<()> {
    let text = std::fs::read_to_string(file).attempt(|| format!("{} cannot be read", file.display()))?;
    let header: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
    let kept = Note::new(header["checkpoint"].as_str().unwrap_or(&text));
    let door = Door::open(config, "verify").await?;
    let compared = grown(&door, &kept).await;
    door.close().await;
    let (kept, now) = compared?;
    let told = json!({ "ok": true, "kept": kept.size, "now": now.size });
    answer(format, &told, |_| {
        format!("the log of {} events begins with the {} that were signed then", now.size, kept.size)
    });
    Ok(())
}

/// The kept checkpoint and the present one, if the log grew from the one to the other.
async fn grown(door: &Door, kept: &Note) -> Outcome<(Checkpoint, Checkpoint)> {
    let get = async |path: &str| door.call(Method::Get, path, None).await.map(|answer| answer.body);
    let key = get("/.well-known/dca-log.json").await?;
    let key: LogKey = cell(&key, "/key").parse().attempt(|| "the server's key cannot be read".to_owned())?;
    let open = |note: &Note, name: String| {
        note.open(&LogKey { name, ..key.clone() }, &signer::verify)
            .map_err(|why| Failure::new(why.to_string()))
    };
    let epoch = kept.read().map(|said| said.epoch).unwrap_or_default();
    let kept = open(kept, Checkpoint::origin(&epoch)).map_err(|why| {
        Failure::new(format!("the kept checkpoint: {}", why.what())).help(
            "Give a file with a note of `GET /admin/audit-log/checkpoint`, or an export of this server.",
        )
    })?;
    let now = get("/admin/audit-log/checkpoint").await?;
    let now = open(&Note::new(cell(&now, "/checkpoint")), key.name.clone())?;
    let changed = |what: String| {
        unsound(what).help(
            "Events were changed or cut off since, or a backup was restored; `dca-auth verify` says what this log lacks.",
        )
    };
    if kept.size > now.size {
        let (then, now) = (kept.size, now.size);
        return Err(changed(format!("{then} events were signed, and the log has only {now}")));
    }
    let path = match kept.size {
        0 => Value::Null,
        from => get(&format!("/admin/audit-log/consistency?from={from}&to={}", now.size)).await?,
    };
    let hashes: Vec<Hash> = serde_json::from_value(path["path"].clone()).unwrap_or_default();
    if kept.size > 0 && !proves_consistency(kept.size, kept.root, now.size, now.root, &hashes) {
        let size = kept.size;
        return Err(changed(format!(
            "the first {size} events of the log are not those that were signed then"
        )));
    }
    Ok((kept, now))
}

fn sound(checked: &Checked) -> Value {
    let mut told = json!({ "ok": true });
    if let (Some(told), Ok(Value::Object(checked))) = (told.as_object_mut(), serde_json::to_value(checked)) {
        told.extend(checked);
    }
    told
}

fn sound_lines(checked: &Checked) -> String {
    let Checked { guild_id, epoch, events, last_position, checkpoint, key_fingerprint, is_key_trusted } =
        checked;
    let key = if *is_key_trusted {
        format!("signed by the key that was asked for, {key_fingerprint}")
    } else {
        format!(
            "signed by the key {key_fingerprint}\nWhose key that is the file cannot say: compare it with the fingerprint \
             in /.well-known/dca-log.json of the server, or give the key with --public-key."
        )
    };
    format!(
        "whole and unaltered: all {events} events that guild {guild_id} had when the log (epoch {epoch}) stood at position \
         {checkpoint}; the last is at {last_position}\n{key}"
    )
}

fn broken(faults: &[Fault]) -> Value {
    let faults: Vec<Value> = faults
        .iter()
        .map(|fault| {
            json!({
                "code": fault.code(),
                "position": fault.position(),
                "number": fault.number(),
                "what": fault.to_string(),
            })
        })
        .collect();
    json!({ "ok": false, "faults": faults })
}

/// A key as text, or in a file; and whether it stands for every epoch of the log.
fn public_key(given: &str) -> Outcome<(LogKey, bool)> {
    let text = match std::fs::read_to_string(given) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => given.to_owned(),
        Err(error) => return Err(Failure::new(format!("{given} cannot be read: {error}"))),
    };
    let text = text.trim();
    let bare = || BASE64.decode(text.as_bytes()).ok()?.try_into().ok();
    if let Some(public) = bare() {
        return Ok((LogKey { name: String::new(), public }, true));
    }
    text.parse().map(|key| (key, false)).map_err(|_| {
        Failure::usage("--public-key is neither a public key nor a file with one").help(
            "Give the value of `key` in /.well-known/dca-log.json of the server, or the 32 bytes of the key in base64.",
        )
    })
}
