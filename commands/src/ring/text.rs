//! The key file's text: JSON with a format number. It is read field by field without copying secrets into
//! buffers that nobody wipes, and an error names the field and never repeats what stood there.

use std::collections::BTreeMap;

use domain::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::secret::{Entry, Secret, SecretList};
use super::{KeyRing, List, PerList, RingError};

/// The format written here, and the newest that is read.
pub(super) const FORMAT: u64 = 1;
/// Room for a large ring, so that the growing text leaves no copies of secrets behind.
const TEXT_ROOM_BYTES: usize = 64 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    format: u64,
    fingerprint: &'a str,
    created_at: Timestamp,
    root: &'a Secret,
    #[serde(flatten)]
    lists: &'a PerList<SecretList>,
}

impl KeyRing {
    /// The text of the key file.
    ///
    /// # Errors
    /// What the JSON writer says; writing to memory has no reason to fail.
    pub(crate) fn to_text(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let rotating = self.rotating();
        let written = Written {
            format: FORMAT,
            fingerprint: &self.fingerprint,
            created_at: self.created_at,
            root: &self.root,
            lists: &rotating.lists,
        };
        let mut text = Zeroizing::new(Vec::with_capacity(TEXT_ROOM_BYTES));
        serde_json::to_writer_pretty(&mut *text, &written)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads the text of a key file, for example out of a systemd credential. `origin` is what an error calls it:
    /// a path, or the name of a setting. Whoever calls wipes the text.
    ///
    /// # Errors
    /// [`RingError::Newer`] or [`RingError::Damaged`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, RingError> {
        let mut file = Fields::read(text, origin, String::new())?;
        let format = file.number("format")?;
        if format > FORMAT {
            return Err(RingError::Newer { origin: origin.to_owned(), format, known: FORMAT });
        }
        if format == 0 {
            return Err(file.damaged("format", "a number from 1"));
        }
        let created_at = file.timestamp("createdAt")?;
        let root = file.secret("root")?;
        let fingerprint = file.string("fingerprint")?;
        let lists = PerList::try_make(|list| read_list(&mut file, list))?;
        file.finish()?;
        let ring = Self::assembled(root, created_at, lists);
        // A root that was edited by hand would otherwise be met only when nothing opens any more.
        if ring.fingerprint != fingerprint {
            return Err(RingError::Damaged {
                origin: origin.to_owned(),
                field: "`root`".to_owned(),
                expected: "the secret that `fingerprint` was taken of",
            });
        }
        Ok(ring)
    }
}

fn read_list(file: &mut Fields<'_>, list: List) -> Result<SecretList, RingError> {
    let mut fields = file.object(list.as_str())?;
    let active = fields.id("active")?;
    let mut secrets: Vec<Entry> = Vec::new();
    for mut item in fields.items("secrets")? {
        let entry = Entry {
            id: item.id("id")?,
            secret: item.secret("secret")?,
            created_at: item.timestamp("createdAt")?,
        };
        if entry.id >= list.most() || secrets.last().is_some_and(|last| last.id >= entry.id) {
            return Err(item.damaged("id", "larger than the id before it, and within the list's limit"));
        }
        item.finish()?;
        secrets.push(entry);
    }
    let expected = "the id of one of the list's secrets";
    let read = SecretList::new(active, secrets).ok_or_else(|| fields.damaged("active", expected))?;
    fields.finish()?;
    Ok(read)
}

/// The fields of one JSON object, each still as text, taken out one by one.
struct Fields<'a> {
    origin: &'a str,
    /// Where the object stands, for example `license.`; empty at the top.
    path: String,
    left: BTreeMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str, origin: &'a str, path: String) -> Result<Self, RingError> {
        match serde_json::from_str(text) {
            Ok(left) => Ok(Self { origin, path, left }),
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                let field = match path.trim_end_matches('.') {
                    "" => place,
                    path => format!("`{path}`"),
                };
                let expected = if error.is_eof() {
                    "followed by more text (the file was cut off)"
                } else {
                    "a JSON object"
                };
                Err(RingError::Damaged { origin: origin.to_owned(), field, expected })
            }
        }
    }

    fn damaged(&self, name: &str, expected: &'static str) -> RingError {
        let field = format!("`{}{name}`", self.path);
        RingError::Damaged { origin: self.origin.to_owned(), field, expected }
    }

    /// The text of a field that has to be there; `expected` says what it should have been.
    fn take(&mut self, name: &str, expected: &'static str) -> Result<&'a str, RingError> {
        let value = self.left.remove(name).map(RawValue::get);
        value.ok_or_else(|| self.damaged(name, expected))
    }

    fn number(&mut self, name: &str) -> Result<u64, RingError> {
        let expected = "a whole number";
        let text = self.take(name, expected)?;
        text.parse().map_err(|_| self.damaged(name, expected))
    }

    fn id(&mut self, name: &str) -> Result<u32, RingError> {
        let expected = "the number of a secret";
        let text = self.take(name, expected)?;
        text.parse().map_err(|_| self.damaged(name, expected))
    }

    /// A string without escapes, which is all that this file has.
    fn string(&mut self, name: &str) -> Result<&'a str, RingError> {
        let expected = "a plain string";
        let text = self.take(name, expected)?;
        let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.filter(|inner| !inner.contains('\\')).ok_or_else(|| self.damaged(name, expected))
    }

    fn timestamp(&mut self, name: &str) -> Result<Timestamp, RingError> {
        let text = self.string(name)?;
        text.parse().map_err(|_| self.damaged(name, "an RFC 3339 time"))
    }

    fn secret(&mut self, name: &str) -> Result<Secret, RingError> {
        let text = self.string(name)?;
        Secret::from_text(text).ok_or_else(|| self.damaged(name, "43 symbols of base64url (32 bytes)"))
    }

    fn object(&mut self, name: &str) -> Result<Self, RingError> {
        let text = self.take(name, "a JSON object")?;
        Self::read(text, self.origin, format!("{}{name}.", self.path))
    }

    fn items(&mut self, name: &str) -> Result<Vec<Self>, RingError> {
        let expected = "a list with at least one entry";
        let text = self.take(name, expected)?;
        let items: Vec<&'a RawValue> =
            serde_json::from_str(text).map_err(|_| self.damaged(name, expected))?;
        if items.is_empty() {
            return Err(self.damaged(name, expected));
        }
        let read = |(i, item): (usize, &&'a RawValue)| {
            Self::read(item.get(), self.origin, format!("{}{name}[{i}].", self.path))
        };
        items.iter().enumerate().map(read).collect()
    }

    /// Refuses what nobody took: writing the ring again would lose it without a word.
    fn finish(self) -> Result<(), RingError> {
        match self.left.keys().next() {
            Some(name) => {
                let name: String = name.chars().take(24).collect();
                Err(self.damaged(&name, "absent (this program does not know the field)"))
            }
            None => Ok(()),
        }
    }
}
