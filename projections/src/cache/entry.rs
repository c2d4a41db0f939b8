//! How a fact stands in the cache that processes share: its positions, until when it may be used, and a tag over all of
//! it, so that whoever can write there can neither invent a fact nor give one to another license, log or instant. It
//! reads and writes bytes only; whether a fact is new enough, the floors say.

use domain::id::StreamId;
use domain::ports::Mac;
use subtle::ConstantTimeEq as _;

/// What the tag is made for: nothing else under the same secret begins so.
const LABEL: &str = "dca-auth/cache/v1";
/// Hexadecimal digits of a number in the head.
const DIGITS: usize = 16;
/// Position, as-of position, end of use, and the id of the secret.
const HEAD: usize = 4 * DIGITS;
const TAG: usize = 32;

/// Which entry this is. It is part of the tag, so that no entry passes for another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) epoch: &'a str,
    pub(crate) stream: &'a StreamId,
}

impl Place<'_> {
    /// The name of the entry in Redis.
    pub(crate) fn name(&self) -> String {
        format!("dca:{}:{}:{}", self.epoch, self.stream.kind.as_str(), self.stream.id)
    }

    /// No part of a name contains a line feed.
    fn label(&self) -> String {
        format!("{LABEL}\n{}\n{}\n{}\n", self.epoch, self.stream.kind.as_str(), self.stream.id)
    }
}

/// A fact in the form in which it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Position of the aggregate's last event.
    pub(crate) position: i64,
    /// The position of the log up to which it is known to be true.
    pub(crate) as_of: i64,
    /// The last instant at which it may be used, in milliseconds since 1970.
    pub(crate) valid_until_ms: i64,
    /// The fact.
    pub(crate) facts: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(crate) fn seal(&self, mac: &dyn Mac, place: Place<'_>) -> Vec<u8> {
        let numbers = format!("{:016x}{:016x}{:016x}", self.position, self.as_of, self.valid_until_ms);
        let label = place.label();
        // The id of the secret is not under the tag: another id is another secret, under which the tag is wrong.
        let (id, tag) = mac.cache_mac(&[label.as_bytes(), numbers.as_bytes(), self.facts]);
        let mut bytes = Vec::with_capacity(HEAD + TAG + self.facts.len());
        bytes.extend_from_slice(numbers.as_bytes());
        bytes.extend_from_slice(format!("{id:016x}").as_bytes());
        bytes.extend_from_slice(&tag);
        bytes.extend_from_slice(self.facts);
        bytes
    }

    /// `None` for whatever was not sealed by this deployment for this very place.
    pub(crate) fn open(mac: &dyn Mac, place: Place<'_>, bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let (tag, facts) = rest.split_at_checked(TAG)?;
        let id = u32::try_from(number(head, 3)?).ok()?;
        let label = place.label();
        let expected = mac.cache_mac_under(id, &[label.as_bytes(), &head[..HEAD - DIGITS], facts])?;
        if !bool::from(expected.ct_eq(tag)) {
            return None;
        }
        let [position, as_of, valid_until_ms] = [number(head, 0)?, number(head, 1)?, number(head, 2)?];
        Some(Self { position, as_of, valid_until_ms, facts })
    }
}

fn number(head: &[u8], index: usize) -> Option<i64> {
    let digits = head.get(index * DIGITS..(index + 1) * DIGITS)?;
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
pub(crate) mod tests;
