//! In which form a list is asked for. An `Accept` that names none of them is answered with the usual one: a client that
//! takes no notice of forms is not refused for it.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/json`, or nothing that is known here: pages.
    Json,
    /// `application/jsonl` (or `application/x-ndjson`): all of it, one JSON object a line.
    Lines,
    /// `text/csv`: all of it, RFC 4180 with a header line.
    Csv,
}

impl Form {
    /// The known form with the highest weight; of equal ones the first.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut best = (Self::Json, 0);
        for range in texts.flat_map(|text| text.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/json" | "application/*" | "*/*" => Self::Json,
                "application/jsonl" | "application/x-ndjson" => Self::Lines,
                "text/csv" => Self::Csv,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
            if weight > best.1 {
                best = (form, weight);
            }
        }
        best.0
    }
}

/// A weight of `Accept`, 0 to 1 with up to three digits; what is none counts nothing.
fn thousandths(text: &str) -> u32 {
    text.parse::<f64>().map_or(0, |weight| (weight.clamp(0.0, 1.0) * 1_000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_form_with_the_highest_weight_is_taken() {
        for (text, form) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("image/png", Form::Json),
            ("text/csv", Form::Csv),
            ("Text/CSV; header=present", Form::Csv),
            ("application/jsonl", Form::Lines),
            ("application/x-ndjson, */*;q=0.1", Form::Lines),
            ("application/json;q=0.5, text/csv;q=0.9", Form::Csv),
            ("text/csv;q=0, application/json", Form::Json),
            ("text/csv, application/jsonl", Form::Csv),
            ("text/csv;q=odd", Form::Json),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, text.parse().unwrap())]);
            assert_eq!(Form::of(&headers), form, "{text}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), Form::Json);
    }
}
