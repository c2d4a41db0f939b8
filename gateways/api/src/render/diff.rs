//! Two states of one thing, member by member. It compares what answers show, so it shows nothing that they do not.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One member that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MemberChange)]
pub(crate) struct Change {
    /// JSON pointer (RFC 6901) into the thing.
    pub(crate) field: String,
    /// What stood there; `null` if nothing did.
    pub(crate) old: Value,
    /// What stands there.
    pub(crate) new: Value,
}

/// The members that differ, in the order of their names. A list counts as one member.
pub(crate) fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", old, new, &mut found);
    found
}

fn compare(field: &str, old: &Value, new: &Value, found: &mut Vec<Change>) {
    const NOTHING: &Value = &Value::Null;
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            for name in names(before, after) {
                let field = format!("{field}/{}", name.replace('~', "~0").replace('/', "~1"));
                let (old, new) = (before.get(name), after.get(name));
                compare(&field, old.unwrap_or(NOTHING), new.unwrap_or(NOTHING), found);
            }
        }
        _ if old == new => {}
        _ => found.push(Change { field: field.to_owned(), old: old.clone(), new: new.clone() }),
    }
}

/// The names of both, each once, in order.
fn names<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> Vec<&'a String> {
    let all: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_compared_one_by_one_and_lists_whole() {
        let old =
            json!({ "a": 1, "b": { "c": [1, 2], "d": null, "e/f": 1 }, "gone": { "x": 1 }, "same": [{}] });
        let new = json!({ "a": 2, "b": { "c": [2, 1], "d": null, "e/f": 2 }, "new": "n", "same": [{}] });
        let found = changes(&old, &new);
        let shown: Vec<_> = found.iter().map(|c| (c.field.as_str(), c.old.clone(), c.new.clone())).collect();
        assert_eq!(
            shown,
            [
                ("/a", json!(1), json!(2)),
                ("/b/c", json!([1, 2]), json!([2, 1])),
                ("/b/e~1f", json!(1), json!(2)),
                ("/gone", json!({ "x": 1 }), Value::Null),
                ("/new", Value::Null, json!("n")),
            ]
        );
        assert_eq!(changes(&old, &old), []);
    }

    #[test]
    fn nothing_becomes_something() {
        assert_eq!(
            changes(&Value::Null, &json!({ "a": 1 })),
            [Change { field: String::new(), old: Value::Null, new: json!({ "a": 1 }) }]
        );
    }
}
