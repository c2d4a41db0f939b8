//! The export of a guild, checked alone: a header with the signed checkpoint and the guild's place in it, then one line an
//! event with the root of the guild's tree up to there. It tells where a file was changed, without any server. It reads no
//! file and makes no signature; whoever calls hands in the lines, and how a signature is checked.

mod fault;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Checkpoint, GuildHead, LogKey, Note, Verify, fingerprint};
use crate::id::GuildId;
use crate::merkle::proof::proves_inclusion;
use crate::merkle::{Frontier, Hash, leaf_hash};

pub use fault::Fault;

/// The form of the file.
const FORMAT: &str = "dca-auth-export/1";
/// Faults that are named; a file with more of them is not the file.
const FAULTS_MAX: usize = 20;
/// Numbers that are looked for further down after they were missing in their place.
const MISSING_MAX: u64 = 10_000;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    format: String,
    /// The epoch of the log.
    pub epoch: String,
    /// The guild, how many events follow, and the root over them.
    pub guild: GuildHead,
    /// The guild's place in the list of guilds, from 0.
    pub index: u64,
    /// The path from there to the root over the list.
    pub path: Vec<Hash>,
    /// The signed checkpoint, as a note.
    pub checkpoint: String,
    /// The public key that signed it.
    pub key: String,
}

impl Header {
    /// The header of an export of `guild` at `checkpoint`.
    pub fn new(
        checkpoint: &Checkpoint,
        note: &Note,
        key: &LogKey,
        guild: GuildHead,
        index: u64,
        path: Vec<Hash>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            epoch: checkpoint.epoch.clone(),
            guild,
            index,
            path,
            checkpoint: note.as_str().to_owned(),
            key: key.to_string(),
        }
    }

    /// As the first line, with its end.
    ///
    /// # Errors
    /// None that is known: every member can be written.
    pub fn line(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// The line of an event, with its end: its record, and the root of the guild's tree with it as the last leaf.
pub fn line(record: &str, root: Hash) -> String {
    format!("{{\"event\":{record},\"root\":\"{root}\"}}\n")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    root: Hash,
}

/// What of a record says where it belongs.
#[derive(Clone, Copy, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Place {
    position: Option<i64>,
    guild_id: Option<GuildId>,
    number: Option<u64>,
}

/// What the file is expected to be signed with.
pub struct Expected<'a> {
    /// The key that is trusted; without one a file is only found to agree with itself.
    pub key: Option<LogKey>,
    /// Whether only the key itself counts, and not the log that it is named for.
    pub any_epoch: bool,
    /// How a signature is checked.
    pub verify: &'a Verify,
}

/// What a file without fault proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Whose events they are.
    pub guild_id: GuildId,
    /// The epoch of the log.
    pub epoch: String,
    /// How many there are: all that the guild has up to the checkpoint.
    pub events: u64,
    /// Position of the last of them.
    pub last_position: i64,
    /// Where the log stood.
    pub checkpoint: u64,
    /// SHA-256 of the public key that signed it.
    pub key_fingerprint: String,
    /// Whether that is a key that was asked for.
    pub is_key_trusted: bool,
}

/// A check that is under way.
pub struct ExportCheck<'a> {
    expected: Expected<'a>,
    header: Option<Header>,
    proven: Option<Proven>,
    faults: Vec<Fault>,
    /// The last line, held back until the next one says whether it stands in its place.
    held: Option<Held>,
    lines: u64,
    /// Whether the last line had one.
    has_end: bool,
    /// The number that comes next.
    next: u64,
    last_position: i64,
    frontier: Frontier,
    /// False once a line is missing or unreadable: roots say nothing from there on.
    can_fold: bool,
    /// The first event whose root does not fit, until it is clear whether the event or the root was changed.
    doubt: Option<At>,
    /// Numbers that did not stand in their place, with the position before it.
    missing: BTreeMap<u64, i64>,
}

/// What the header proves.
struct Proven {
    checkpoint: u64,
    fingerprint: String,
}

/// A place in the file.
#[derive(Debug, Clone, Copy)]
struct At {
    line: u64,
    number: u64,
    position: Option<i64>,
    after: i64,
}

#[derive(Clone, Copy)]
struct Held {
    line: u64,
    /// `None` if the line cannot be read.
    found: Option<(Place, Hash, Hash)>,
}

impl<'a> ExportCheck<'a> {
    /// A check that was given no line yet.
    pub fn new(expected: Expected<'a>) -> Self {
        Self {
            expected,
            header: None,
            proven: None,
            faults: Vec::new(),
            held: None,
            lines: 0,
            has_end: true,
            next: 1,
            last_position: 0,
            frontier: Frontier::default(),
            can_fold: true,
            doubt: None,
            missing: BTreeMap::new(),
        }
    }

    /// Takes the next line, with its end if it has one.
    pub fn take(&mut self, line: &[u8]) {
        self.lines += 1;
        let (text, has_end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        if self.lines == 1 {
            self.take_header(text);
        } else if self.header.is_some() {
            let found = read(text);
            if found.is_some() || has_end {
                let next = found.as_ref().and_then(|(place, ..)| place.number);
                if let Some(before) = self.held.replace(Held { line: self.lines, found }) {
                    self.judge(before, next);
                }
            }
        }
        self.has_end = has_end;
    }

    /// Says what the whole file proves.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order in which it was found.
    pub fn finish(mut self) -> Result<Checked, Vec<Fault>> {
        if let Some(last) = self.held.take() {
            self.judge(last, None);
        }
        if !self.has_end {
            self.fault(Fault::Cut { line: self.lines, after: self.last_position });
        }
        let Some(header) = self.header.take() else {
            if self.faults.is_empty() {
                self.fault(Fault::Header("the file is empty".to_owned()));
            }
            return Err(self.faults);
        };
        let is_root = self.frontier.size() == header.guild.size && self.frontier.root() == header.guild.root;
        if let Some(at) = self.doubt.take() {
            self.fault(if self.can_fold && is_root { Fault::root_altered(at) } else { Fault::altered(at) });
        }
        for (number, after) in std::mem::take(&mut self.missing) {
            self.fault(Fault::Removed { number, after });
        }
        if self.next <= header.guild.size {
            let (from, after) = (self.next, self.last_position);
            self.fault(Fault::Truncated { from, to: header.guild.size, after });
        }
        if self.faults.is_empty() && !is_root {
            self.fault(Fault::Rewritten { last: self.last_position });
        }
        match (self.proven, self.faults.is_empty()) {
            (Some(proven), true) => Ok(Checked {
                guild_id: header.guild.guild_id,
                epoch: header.epoch,
                events: header.guild.size,
                last_position: self.last_position,
                checkpoint: proven.checkpoint,
                key_fingerprint: proven.fingerprint,
                is_key_trusted: self.expected.key.is_some(),
            }),
            _ => Err(self.faults),
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    fn take_header(&mut self, text: &[u8]) {
        let header: Header = match serde_json::from_slice(text) {
            Ok(header) => header,
            Err(error) => {
                return self.fault(Fault::Header(format!("line 1 is no header of an export: {error}")));
            }
        };
        match self.prove(&header) {
            Ok(proven) => self.proven = Some(proven),
            Err(fault) => self.fault(fault),
        }
        // Even if nothing is proved, what follows is compared with what the header says.
        self.header = Some(header);
    }

    /// Whether the header's checkpoint is signed, of this log, and has this guild with this root.
    fn prove(&self, header: &Header) -> Result<Proven, Fault> {
        if header.format != FORMAT {
            return Err(Fault::Header(format!(
                "the file has the form `{}`, and this program reads `{FORMAT}`; use the release that wrote it",
                header.format
            )));
        }
        let note = Note::new(&*header.checkpoint);
        let said = note.read().map_err(Fault::Checkpoint)?;
        let other_epoch = |found: &str, wanted: &str| Fault::OtherEpoch {
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        };
        if said.epoch != header.epoch {
            return Err(other_epoch(&said.epoch, &header.epoch));
        }
        let key: LogKey = header.key.parse().map_err(Fault::Checkpoint)?;
        if let Some(trusted) = &self.expected.key {
            if trusted.public != key.public {
                let (found, wanted) = (fingerprint(&key.public), fingerprint(&trusted.public));
                return Err(Fault::OtherKey { found, wanted });
            }
            if trusted.name != key.name && !self.expected.any_epoch {
                return Err(other_epoch(&key.name, &trusted.name));
            }
        }
        if key.name != Checkpoint::origin(&header.epoch) {
            return Err(other_epoch(&key.name, &Checkpoint::origin(&header.epoch)));
        }
        let checkpoint = note.open(&key, self.expected.verify).map_err(Fault::Checkpoint)?;
        let (leaf, size) = (header.guild.leaf(), checkpoint.guilds);
        if !proves_inclusion(leaf, header.index, size, &header.path, checkpoint.guilds_root) {
            return Err(Fault::Head);
        }
        Ok(Proven { checkpoint: checkpoint.size, fingerprint: fingerprint(&key.public) })
    }

    /// Judges a line, knowing which number the next one has.
    fn judge(&mut self, held: Held, next: Option<u64>) {
        let (guild, size) =
            self.header.as_ref().map_or((GuildId(0), 0), |h| (h.guild.guild_id, h.guild.size));
        let line = held.line;
        let number = self.next;
        let Some((place, leaf, root)) = held.found else {
            self.fault(Fault::Unreadable { line, number, after: self.last_position });
            (self.can_fold, self.next) = (false, number + 1);
            return;
        };
        let at = At { line, number, position: place.position, after: self.last_position };
        // Whether the lines around say that this one stands where it belongs, whatever number it gives itself.
        let is_in_place =
            place.number == Some(number) || next == Some(number + 1) || (next.is_none() && number == size);
        // An event of our own that was altered has its number; one that was put in has the wrong one, or ours follows.
        if place.guild_id != Some(guild) && (place.number != Some(number) || next == Some(number)) {
            let of = place.guild_id.map(|guild| guild.to_string());
            return self.fault(Fault::Foreign { line, position: place.position, of });
        }
        match place.number {
            Some(found) if !is_in_place && found < number => {
                let (was_missing, position) = (self.missing.remove(&found).is_some(), place.position);
                self.fault(match was_missing {
                    true => Fault::Moved { line, number: found, position },
                    false => Fault::Twice { line, number: found, position },
                });
            }
            Some(found) if !is_in_place => {
                let until = found.min(number.saturating_add(MISSING_MAX));
                self.missing.extend((number..until).map(|number| (number, self.last_position)));
                self.can_fold = false;
                self.settle(place, found);
            }
            _ if number > size => self.fault(Fault::Surplus { line, number, position: place.position }),
            _ => {
                if place.guild_id != Some(guild) || place.number != Some(number) {
                    self.fault(Fault::altered(at));
                    self.can_fold = false;
                }
                self.fold(at, leaf, root);
                self.settle(place, number);
            }
        }
    }

    fn settle(&mut self, place: Place, number: u64) {
        self.next = number.saturating_add(1);
        self.last_position = place.position.unwrap_or(self.last_position);
    }

    /// Adds a leaf, and compares the root with the one beside it.
    fn fold(&mut self, at: At, leaf: Hash, root: Hash) {
        if !self.can_fold {
            return;
        }
        self.frontier.push(leaf);
        match (self.frontier.root() == root, self.doubt) {
            (true, Some(before)) => {
                // The tree is right again, so the event before was right too.
                self.doubt = None;
                self.fault(Fault::root_altered(before));
            }
            (false, None) => self.doubt = Some(at),
            _ => {}
        }
    }
}

/// The place, the leaf's hash and the root of a line of the one spelling that it has.
fn read(text: &[u8]) -> Option<(Place, Hash, Hash)> {
    let text = std::str::from_utf8(text).ok()?;
    let parsed: Line<'_> = serde_json::from_str(text).ok()?;
    let record = parsed.event.get();
    if line(record, parsed.root).strip_suffix('\n') != Some(text) {
        return None;
    }
    let place = serde_json::from_str(record).unwrap_or_default();
    Some((place, leaf_hash(record.as_bytes()), parsed.root))
}
