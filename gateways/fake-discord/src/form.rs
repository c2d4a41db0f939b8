//! `application/x-www-form-urlencoded`, in queries and bodies, and percent-encoding. Knows no member by name.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The pairs; of a name that comes twice the last counts.
pub(crate) fn pairs(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Percent-decoding.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Percent-encoding of everything that is not unreserved.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::{decoded, encoded, pairs};

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for text in ["", "a b+c", "ä%/?&=#", "100%"] {
            assert_eq!(decoded(&encoded(text)), text);
            assert_eq!(pairs(format!("a={}", encoded(text)).as_bytes())["a"], text);
        }
        assert_eq!(encoded("a b~ä"), "a%20b~%C3%A4");
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_counts() {
        assert_eq!(pairs(b"a=1&&b=x+y&a=2%zz&c")["a"], "2%zz");
        assert_eq!(pairs(b"a=1&&b=x+y&c")["b"], "x y");
        assert_eq!(pairs(b"a=1&&b=x+y&c").len(), 3);
    }
}
