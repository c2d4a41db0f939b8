//! `dca-auth bench`: figures of this machine, each beside the figure that it is measured against, in one run. It
//! works on data of its own in a folder that goes when it ends, reaches loopback addresses only, and ends in time.

mod bulk;
mod commands;
mod discord;
mod guess;
mod histogram;
mod hits;
mod inserts;
mod instances;
mod load;
mod routes;
mod snapshot;
mod start;
mod usage;
mod validate;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::{Bench, BenchWhat};
use crate::config::{Config, Inputs};
use crate::failure::{Attempt as _, Outcome};
use crate::output::{Format, answer};

/// Runs one benchmark and prints its figures.
///
/// # Errors
/// If something that is measured fails.
pub(crate) async fn run(bench: &Bench, format: Format) -> Outcome<()> {
    let mut figures = match bench.what {
        BenchWhat::Floor => return validate::floor(bench.body_bytes, bench.connections).await,
        BenchWhat::Validate => validate::run(bench).await?,
        BenchWhat::Append => commands::append(bench).await?,
        BenchWhat::Bulk => bulk::run(bench).await?,
        BenchWhat::Rebuild => commands::rebuild(bench).await?,
        BenchWhat::Routes => routes::run(bench).await?,
        BenchWhat::Guess => guess::run(bench).await?,
        BenchWhat::Hits => hits::run(bench).await?,
        BenchWhat::Project => instances::project(bench).await?,
        BenchWhat::Revoke => instances::revoke(bench).await?,
        BenchWhat::Start => start::run(bench).await?,
        BenchWhat::Snapshot => snapshot::run(bench).await?,
        BenchWhat::Discord => discord::run(bench).await?,
    };
    // Figures of an unoptimised build say nothing about the product.
    figures["optimised"] = (!cfg!(debug_assertions)).into();
    answer(format, &figures, lines);
    Ok(())
}

/// One figure a line.
fn lines(figures: &Value) -> String {
    let mut lines = Vec::new();
    flatten("", figures, &mut lines);
    lines.join("\n")
}

fn flatten(above: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                flatten(&name, value, lines);
            }
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(real) => lines.push(format!("{above:<32} {real:.3}")),
            None => lines.push(format!("{above:<32} {number}")),
        },
        Value::String(text) => lines.push(format!("{above:<32} {text}")),
        other => lines.push(format!("{above:<32} {other}")),
    }
}

/// A folder that goes when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("dca-auth-bench-{}", uuid::Uuid::new_v4().simple()));
        crate::folder::private_folder(&path).attempt(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// The default configuration over this folder, and over the given database if there is one.
    fn config(&self, mode: &str, bench: &Bench) -> Outcome<Config> {
        let mut flags = vec![
            ("data_dir", self.0.to_string_lossy().into_owned(), "--data-dir"),
            ("mode", mode.to_owned(), "--mode"),
        ];
        flags.extend(bench.database_url.clone().map(|url| ("database.url", url, "--database-url")));
        flags.extend(bench.nats_url.clone().map(|url| ("nats.url", url, "--nats-url")));
        flags.extend(bench.redis_url.clone().map(|url| ("redis.url", url, "--redis-url")));
        flags.extend(bench.cache.map(|entries| ("cache.licenses", entries.to_string(), "--cache")));
        Config::load(&Inputs { flags, ..Inputs::default() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
