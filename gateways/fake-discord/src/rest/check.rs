//! Bodies against the documented shape of their object: kinds, lengths, members that nobody documented. Gives all
//! that is wrong as the `errors` tree of code 50035. Changes no body.

use serde_json::{Map, Value, json};

use super::reply::Refusal;

/// What a member may be. `null` is the same as absent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Characters, at least and at most.
    Text(usize, usize),
    /// A number without fraction, at least and at most.
    Int(i64, i64),
    Bool,
    /// An id, as text or number.
    Snowflake,
    /// At most so many of something.
    List(usize, &'static Kind),
    Object(&'static [Field]),
    /// Checked elsewhere, or by nobody.
    Any,
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// A member that may be absent.
pub(crate) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

/// A member that must be there.
pub(crate) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

/// All that is wrong with a body.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    tree: Map<String, Value>,
}

impl Errors {
    /// Adds one error at a path of member names and indexes.
    pub(crate) fn add(&mut self, path: &[String], code: &str, message: &str) {
        let mut at = &mut self.tree;
        for step in path {
            let next = at.entry(step.clone()).or_insert_with(|| json!({}));
            let Value::Object(next) = next else { return };
            at = next;
        }
        let list = at.entry("_errors").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"code": code, "message": message}));
        }
    }

    /// The refusal, if anything is wrong.
    pub(crate) fn into_result(self) -> Result<(), Refusal> {
        if self.tree.is_empty() { Ok(()) } else { Err(Refusal::invalid(&Value::Object(self.tree))) }
    }
}

/// Checks a body that must be an object of these members.
pub(crate) fn body(value: &Value, fields: &'static [Field]) -> Result<(), Refusal> {
    let mut errors = Errors::default();
    check(value, &Kind::Object(fields), &mut Vec::new(), &mut errors);
    errors.into_result()
}

/// Checks one value; adds what is wrong.
pub(crate) fn check(value: &Value, kind: &Kind, path: &mut Vec<String>, errors: &mut Errors) {
    match kind {
        Kind::Any => {}
        Kind::Text(min, max) => text(value, *min, *max, path, errors),
        Kind::Int(min, max) => match value.as_i64() {
            Some(number) if number < *min => {
                errors.add(
                    path,
                    "NUMBER_TYPE_MIN",
                    &format!("int value should be greater than or equal to {min}."),
                );
            }
            Some(number) if number > *max => {
                errors.add(
                    path,
                    "NUMBER_TYPE_MAX",
                    &format!("int value should be less than or equal to {max}."),
                );
            }
            Some(_) => {}
            None => errors.add(path, "NUMBER_TYPE_COERCE", "Value is not int."),
        },
        Kind::Bool if !value.is_boolean() => {
            errors.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
        }
        Kind::Bool => {}
        Kind::Snowflake => {
            let valid = value.is_u64() || value.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
            if !valid {
                errors.add(path, "NUMBER_TYPE_COERCE", "Value is not snowflake.");
            }
        }
        Kind::List(max, kind) => list(value, *max, kind, path, errors),
        Kind::Object(fields) => object(value, fields, path, errors),
    }
}

fn text(value: &Value, min: usize, max: usize, path: &[String], errors: &mut Errors) {
    let Some(text) = value.as_str() else {
        errors.add(path, "STRING_TYPE_CONVERT", "Could not interpret as string.");
        return;
    };
    let length = text.chars().count();
    if length < min {
        errors.add(path, "BASE_TYPE_MIN_LENGTH", &format!("Must be {min} or more in length."));
    }
    if length > max {
        errors.add(path, "BASE_TYPE_MAX_LENGTH", &format!("Must be {max} or fewer in length."));
    }
}

fn list(value: &Value, max: usize, kind: &Kind, path: &mut Vec<String>, errors: &mut Errors) {
    let Some(items) = value.as_array() else {
        errors.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType.");
        return;
    };
    if items.len() > max {
        errors.add(path, "BASE_TYPE_MAX_LENGTH", &format!("Must be {max} or fewer in length."));
    }
    for (i, item) in items.iter().enumerate() {
        path.push(i.to_string());
        check(item, kind, path, errors);
        path.pop();
    }
}

fn object(value: &Value, fields: &[Field], path: &mut Vec<String>, errors: &mut Errors) {
    let Some(members) = value.as_object() else {
        errors.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType.");
        return;
    };
    for field in fields {
        path.push(field.name.to_owned());
        match members.get(field.name).filter(|member| !member.is_null()) {
            Some(member) => check(member, &field.kind, path, errors),
            None if field.required => errors.add(path, "BASE_TYPE_REQUIRED", "This field is required"),
            None => {}
        }
        path.pop();
    }
    // Discord ignores these; here they are mistakes of the program under test.
    for name in members.keys().filter(|name| !fields.iter().any(|field| field.name == name.as_str())) {
        path.push(name.clone());
        errors.add(path, "UNKNOWN_MEMBER", "Discord documents no such member here.");
        path.pop();
    }
}
