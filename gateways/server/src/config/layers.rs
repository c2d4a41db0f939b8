//! The layers of the configuration, each value with its source: the embedded defaults, a file, the environment,
//! flags. The defaults file is also the list of all keys. Values are not judged here, only their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use crate::failure::{Failure, Outcome};

/// The manual: every key with its default and what it is for.
pub(crate) const DEFAULTS: &str = include_str!("../../config.default.toml");

/// What the process was started with.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Key, text and name of each flag that sets a key.
    pub(crate) flags: Vec<(&'static str, String, &'static str)>,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key as it was given.
    pub(crate) key: String,
    /// What is wrong with it and what would be right.
    pub(crate) what: String,
    /// Where it came from.
    pub(crate) source: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {} (from {})", self.key, self.what, self.source)
    }
}

/// All layers, merged.
pub(crate) struct Layers {
    figment: Figment,
    keys: Vec<(String, Value)>,
    problems: Vec<Problem>,
}

impl Layers {
    /// Merges what there is. Wrong names are collected, not thrown.
    ///
    /// # Errors
    /// If a file that was named, or that lies in its place, cannot be read or is not TOML.
    pub(crate) fn collect(inputs: &Inputs) -> Outcome<Self> {
        let defaults: Dict = toml::from_str(DEFAULTS)
            .map_err(|e| Failure::new(format!("the embedded defaults are not TOML: {e}")))?;
        let mut keys = Vec::new();
        flatten("", &defaults, &mut keys);
        let base = Layer::new("the defaults", defaults);
        let mut layers = Self { figment: Figment::from(base), keys, problems: Vec::new() };
        if let Some(file) = layers.file(inputs) {
            layers.add_file(&file)?;
        }
        layers.add_environment(&inputs.env);
        for (key, text, flag) in &inputs.flags {
            layers.add_text(key, text, format!("the flag {flag}"));
        }
        Ok(layers)
    }

    /// Every key, in the order of the manual's sections, with its default.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key that stands in the manual; `None` for any other.
    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        self.figment.find_value(key).ok()
    }

    /// Where the value of `key` came from.
    pub(crate) fn source(&self, key: &str) -> String {
        self.figment.find_metadata(key).map_or_else(|| "nowhere".to_owned(), |found| found.name.to_string())
    }

    /// What is wrong with the names.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `--config`, or `config.toml` of the data folder, or `dca-auth.toml` of the current one.
    fn file(&self, inputs: &Inputs) -> Option<PathBuf> {
        if let Some(file) = &inputs.file {
            return Some(file.clone());
        }
        let flag = inputs.flags.iter().find(|(key, ..)| *key == "data_dir").map(|(_, text, _)| text.clone());
        let folder = flag.or_else(|| inputs.env.get("DCA_DATA_DIR").cloned());
        let default = self.value("data_dir").and_then(Value::into_string).unwrap_or_default();
        let beside = Path::new(&folder.unwrap_or(default)).join("config.toml");
        [beside, PathBuf::from("dca-auth.toml")].into_iter().find(|path| path.exists())
    }

    fn add_file(&mut self, file: &Path) -> Outcome<()> {
        let text = std::fs::read_to_string(file).map_err(|e| {
            Failure::new(format!("the configuration file {} cannot be read: {e}", file.display()))
                .help("Check the path and its permissions, or start without --config.")
        })?;
        let found: Dict = toml::from_str(&text).map_err(|e| {
            Failure::new(format!(
                "the configuration file {} is not valid TOML: {}",
                file.display(),
                e.to_string().trim_end()
            ))
            .help("Mend the line named above; `dca-auth config print` shows every key in its right form.")
        })?;
        let source = format!("the file {}", file.display());
        let mut given = Vec::new();
        flatten("", &found, &mut given);
        for (key, _) in &given {
            if !self.knows(key) {
                self.refuse(key, &source, Names::Dotted);
            }
        }
        self.figment = std::mem::take(&mut self.figment).merge(Layer::new(source, found));
        Ok(())
    }

    fn add_environment(&mut self, env: &BTreeMap<String, String>) {
        for (name, text) in env {
            if name.starts_with("DCA_TEST_") {
                continue; // These belong to the test suites.
            }
            let named = match name.as_str() {
                "DATABASE_URL" => Some("database.url".to_owned()),
                "DATABASE_URL_FILE" => Some("database.url_file".to_owned()),
                "DATABASE_REPLICA_URL" => Some("database.replica_url".to_owned()),
                "DATABASE_REPLICA_URL_FILE" => Some("database.replica_url_file".to_owned()),
                "NATS_URL" => Some("nats.url".to_owned()),
                "NATS_URL_FILE" => Some("nats.url_file".to_owned()),
                "REDIS_URL" => Some("redis.url".to_owned()),
                "REDIS_URL_FILE" => Some("redis.url_file".to_owned()),
                "DISCORD_TOKEN" => Some("discord.token".to_owned()),
                "DISCORD_TOKEN_FILE" => Some("discord.token_file".to_owned()),
                "DISCORD_CLIENT_ID" => Some("discord.client_id".to_owned()),
                "DISCORD_CLIENT_SECRET" => Some("discord.client_secret".to_owned()),
                "DISCORD_CLIENT_SECRET_FILE" => Some("discord.client_secret_file".to_owned()),
                other => self.keys.iter().find(|(key, _)| variable(key) == other).map(|(key, _)| key.clone()),
            };
            let source = format!("the environment variable {name}");
            if let Some(key) = named {
                self.add_text(&key, text, source);
            } else if name.starts_with("DCA_") {
                self.refuse(name, &source, Names::Variables);
            }
        }
    }

    /// Sets a key from a text, which is read as the kind of value that the default is.
    fn add_text(&mut self, key: &str, text: &str, source: String) {
        let kind = self.keys.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        let value = match kind {
            Some(Value::Array(..)) if !text.trim_start().starts_with('[') => {
                Value::from(text.split(',').map(str::trim).filter(|one| !one.is_empty()).collect::<Vec<_>>())
            }
            Some(Value::String(..)) | None => Value::from(text),
            Some(_) => text.parse().unwrap_or_else(|_| Value::from(text)),
        };
        let dict = key.rsplit('.').fold(None, |inner: Option<Value>, part| {
            let inner = inner.unwrap_or_else(|| value.clone());
            Some(Value::from(Map::from([(part.to_owned(), inner)])))
        });
        if let Some(Value::Dict(_, dict)) = dict {
            self.figment = std::mem::take(&mut self.figment).merge(Layer::new(source, dict));
        }
    }

    fn knows(&self, key: &str) -> bool {
        self.keys.iter().any(|(known, _)| known == key)
    }

    fn refuse(&mut self, name: &str, source: &str, names: Names) {
        let what = match self.nearest(name, names) {
            Some(near) => format!("is no configuration key; did you mean `{near}`?"),
            None => "is no configuration key; `dca-auth config print` lists them".to_owned(),
        };
        self.problems.push(Problem { key: name.to_owned(), what, source: source.to_owned() });
    }

    /// The valid name most like `name`.
    fn nearest(&self, name: &str, names: Names) -> Option<String> {
        let written = |key: &String| match names {
            Names::Dotted => key.clone(),
            Names::Variables => variable(key),
        };
        let likeness = |valid: &String| strsim::normalized_damerau_levenshtein(name, valid);
        self.keys
            .iter()
            .map(|(key, _)| written(key))
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .filter(|valid| likeness(valid) > 0.4)
    }
}

/// How a wrong name was written, so that the right one is given in the same way.
#[derive(Clone, Copy)]
enum Names {
    Dotted,
    Variables,
}

/// The environment variable of a key: `http.page_max` is `DCA_HTTP_PAGE_MAX`.
pub(crate) fn variable(key: &str) -> String {
    format!("DCA_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// `a.b = value` for every leaf.
fn flatten(above: &str, dict: &Dict, into: &mut Vec<(String, Value)>) {
    for (name, value) in dict {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Dict(_, inner) => flatten(&key, inner, into),
            leaf => into.push((key, leaf.clone())),
        }
    }
}

/// One layer, with the name that messages give it.
struct Layer {
    source: String,
    dict: Dict,
}

impl Layer {
    fn new(source: impl Into<String>, dict: Dict) -> Self {
        Self { source: source.into(), dict }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}
