//! Components of messages and modals (components/reference): what may stand where, how many, with which members.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{self, Errors, Field, Kind, may, must};

const ROWS: usize = 5;
const V2_TOTAL: usize = 40;

const ID: Field = may("id", Kind::Int(0, i64::MAX));
const KIND: Field = must("type", Kind::Int(1, 23));
const CUSTOM_ID: Field = must("custom_id", Kind::Text(1, 100));
const DISABLED: Field = may("disabled", Kind::Bool);
const EMOJI: Field = may("emoji", Kind::Object(&EMOJI_FIELDS));
const EMOJI_FIELDS: [Field; 3] =
    [may("id", Kind::Snowflake), may("name", Kind::Text(1, 32)), may("animated", Kind::Bool)];
const OPTION: [Field; 5] = [
    must("label", Kind::Text(1, 100)),
    must("value", Kind::Text(1, 100)),
    may("description", Kind::Text(1, 100)),
    EMOJI,
    may("default", Kind::Bool),
];

const ROW: &[Field] = &[ID, KIND, must("components", Kind::List(5, &Kind::Any))];
const BUTTON: &[Field] = &[
    ID,
    KIND,
    must("style", Kind::Int(1, 6)),
    may("label", Kind::Text(1, 80)),
    EMOJI,
    may("custom_id", Kind::Text(1, 100)),
    may("sku_id", Kind::Snowflake),
    may("url", Kind::Text(1, 512)),
    DISABLED,
];
const SELECT: &[Field] = &[
    ID,
    KIND,
    CUSTOM_ID,
    may("options", Kind::List(25, &Kind::Object(&OPTION))),
    may("channel_types", Kind::List(20, &Kind::Int(0, 20))),
    may("placeholder", Kind::Text(0, 150)),
    may("default_values", Kind::List(25, &Kind::Any)),
    may("min_values", Kind::Int(0, 25)),
    may("max_values", Kind::Int(1, 25)),
    may("required", Kind::Bool),
    DISABLED,
];
const TEXT_INPUT: &[Field] = &[
    ID,
    KIND,
    CUSTOM_ID,
    may("style", Kind::Int(1, 2)),
    may("label", Kind::Text(1, 45)),
    may("min_length", Kind::Int(0, 4_000)),
    may("max_length", Kind::Int(1, 4_000)),
    may("required", Kind::Bool),
    may("value", Kind::Text(0, 4_000)),
    may("placeholder", Kind::Text(0, 100)),
];
const LABEL: &[Field] = &[
    ID,
    KIND,
    must("label", Kind::Text(1, 45)),
    may("description", Kind::Text(1, 100)),
    must("component", Kind::Any),
];
const TEXT_DISPLAY: &[Field] = &[ID, KIND, must("content", Kind::Text(1, 4_000))];
const SECTION: &[Field] =
    &[ID, KIND, must("components", Kind::List(3, &Kind::Any)), must("accessory", Kind::Any)];
const CONTAINER: &[Field] = &[
    ID,
    KIND,
    must("components", Kind::List(40, &Kind::Any)),
    may("accent_color", Kind::Int(0, 0xFF_FF_FF)),
    may("spoiler", Kind::Bool),
];
const SEPARATOR: &[Field] = &[ID, KIND, may("divider", Kind::Bool), may("spacing", Kind::Int(1, 2))];

/// Where components stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A message of rows.
    Message,
    /// A message under the flag of the second version.
    MessageV2,
    Modal,
}

/// Checks the list `components` of a message or modal.
pub(crate) fn check_all(components: &Value, place: Place, errors: &mut Errors) {
    let mut path = vec!["components".to_owned()];
    let Some(items) = components.as_array() else {
        errors.add(&path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType.");
        return;
    };
    let most = if place == Place::MessageV2 { V2_TOTAL } else { ROWS };
    if items.len() > most || count(components) > V2_TOTAL + ROWS {
        errors.add(&path, "BASE_TYPE_BAD_LENGTH", &format!("Must be between 1 and {most} in length."));
    }
    let mut seen = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        path.push(i.to_string());
        let allowed: &[u64] = match place {
            Place::Message => &[1],
            Place::MessageV2 => &[1, 9, 10, 12, 13, 14, 17],
            Place::Modal => &[1, 10, 18],
        };
        one(item, allowed, place, &mut path, &mut seen, errors);
        path.pop();
    }
}

fn count(components: &Value) -> usize {
    let items = components.as_array().into_iter().flatten();
    items.map(|item| 1 + count(item.get("components").unwrap_or(&Value::Null))).sum()
}

fn one(
    item: &Value,
    allowed: &[u64],
    place: Place,
    path: &mut Vec<String>,
    seen: &mut BTreeSet<String>,
    errors: &mut Errors,
) {
    let kind = item.get("type").and_then(Value::as_u64).unwrap_or(0);
    if !allowed.contains(&kind) {
        path.push("type".to_owned());
        errors.add(path, "BASE_TYPE_CHOICES", &format!("Value must be one of {allowed:?}."));
        path.pop();
        return;
    }
    let (fields, children): (&'static [Field], &[u64]) = match kind {
        1 if place == Place::Modal => (ROW, &[4]),
        1 => (ROW, &[2, 3, 5, 6, 7, 8]),
        2 => (BUTTON, &[]),
        3 | 5..=8 => (SELECT, &[]),
        4 => (TEXT_INPUT, &[]),
        9 => (SECTION, &[10]),
        10 => (TEXT_DISPLAY, &[]),
        14 => (SEPARATOR, &[]),
        17 => (CONTAINER, &[1, 9, 10, 12, 13, 14]),
        18 => (LABEL, &[]),
        _ => return,
    };
    check::check(item, &Kind::Object(fields), path, errors);
    if let Some(custom_id) = item.get("custom_id").and_then(Value::as_str)
        && !seen.insert(custom_id.to_owned())
    {
        path.push("custom_id".to_owned());
        errors.add(path, "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated");
        path.pop();
    }
    button(item, kind, path, errors);
    for (name, inner) in [("accessory", &[2_u64, 11][..]), ("component", &[3, 4, 5, 6, 7, 8, 19])] {
        if let Some(child) = item.get(name).filter(|child| child.is_object()) {
            path.push(name.to_owned());
            one(child, inner, place, path, seen, errors);
            path.pop();
        }
    }
    for (i, child) in item.get("components").and_then(Value::as_array).into_iter().flatten().enumerate() {
        path.extend(["components".to_owned(), i.to_string()]);
        one(child, children, place, path, seen, errors);
        path.truncate(path.len().saturating_sub(2));
    }
}

/// A link has an address and no id; any other button the other way round.
fn button(item: &Value, kind: u64, path: &mut Vec<String>, errors: &mut Errors) {
    if kind != 2 {
        return;
    }
    let has = |name: &str| item.get(name).is_some_and(|member| !member.is_null());
    let wanted = match item.get("style").and_then(Value::as_u64) {
        Some(5) => "url",
        Some(6) => "sku_id",
        _ => "custom_id",
    };
    if !has(wanted) {
        path.push(wanted.to_owned());
        errors.add(path, "BASE_TYPE_REQUIRED", "This field is required");
        path.pop();
    }
    if wanted == "url" && has("custom_id") {
        errors.add(
            path,
            "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE",
            "A custom id and url cannot both be specified",
        );
    }
    if wanted != "sku_id" && !has("label") && !has("emoji") {
        path.push("label".to_owned());
        errors.add(path, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button needs a label or an emoji");
        path.pop();
    }
}

/// The component of this custom id, wherever it stands.
pub(crate) fn find<'a>(components: &'a Value, custom_id: &str) -> Option<&'a Value> {
    let is_it = |item: &Value| item.get("custom_id").and_then(Value::as_str) == Some(custom_id);
    components.as_array()?.iter().find_map(|item| {
        if is_it(item) {
            return Some(item);
        }
        let single = ["accessory", "component"].iter().filter_map(|name| item.get(*name)).find(|c| is_it(c));
        single.or_else(|| find(item.get("components")?, custom_id))
    })
}
