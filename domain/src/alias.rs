//! Keys that another system gave, as they are kept here: a keyed hash over the guild and the text, so that neither events nor
//! tables nor memory hold a key. Writing and finding one go through the same function. It looks nothing up.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

use crate::id::{GuildId, InvalidId};
use crate::ports::{Mac, Purpose};

/// The wire name of the event by which a license gets one.
pub const ADDED: &str = "license.alias_added";

/// HMAC-SHA256 over the guild and the text of a foreign key. It is written in 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias([u8; 32]);

impl Alias {
    /// The alias that `text` is in `guild`.
    pub fn of(mac: &dyn Mac, guild: GuildId, text: &str) -> Self {
        Self(mac.mac(Purpose::Alias, &[&guild.0.to_be_bytes(), normal(text).as_bytes()]))
    }

    /// Its first half. It is uniform and nobody without the ring can aim at one, so that no two of a deployment share it.
    pub fn half(&self) -> u128 {
        self.0[..16].iter().fold(0, |half, byte| (half << 8) | u128::from(*byte))
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Alias {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        let hash = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        hash.map(Self).ok_or_else(|| InvalidId::new(text, "an alias (64 hexadecimal digits)"))
    }
}

/// A foreign key as it is compared: Unicode normal form C, without spaces around it.
pub fn normal(text: &str) -> String {
    text.trim().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRing;

    fn of(guild: u64, text: &str) -> Alias {
        Alias::of(&TestRing::default(), GuildId(guild), text)
    }

    #[test]
    fn spaces_and_normal_forms_make_no_difference_and_everything_else_does() {
        assert_eq!(of(1, "Schl\u{fc}ssel-1"), of(1, "\u{a0} Schlu\u{308}ssel-1\n"));
        for other in [of(2, "KEY-1"), of(1, "key-1"), of(1, "KEY-2"), of(1, "KEY 1")] {
            assert_ne!(other, of(1, "KEY-1"));
        }
    }

    #[test]
    fn the_event_by_which_a_license_gets_one_has_this_name() {
        let event =
            crate::license::Event::AliasAdded { alias: of(1, "A").to_string(), at: Default::default() };
        assert_eq!(crate::event::DomainEvent::from(event).wire().0, ADDED);
    }

    #[test]
    fn its_text_reads_back() {
        let alias = of(1, "KEY-1");
        let text = alias.to_string();
        assert_eq!((text.len(), text.parse().ok()), (64, Some(alias)));
        assert_eq!(u128::from_str_radix(&text[..32], 16).ok(), Some(alias.half()));
        for bad in ["", "hash", &text[..62], &text.to_uppercase()] {
            assert!(bad.parse::<Alias>().is_err(), "{bad}");
        }
    }
}
