//! Documents that repeat a list of the code must repeat all of it and nothing else: error codes, wire names of
//! events, and paths of other documents.
//!
//! **An error code** is a string literal of at least four characters out of capitals, digits and `_` that begins
//! with a capital, in the code (tests aside) of a crate of [`CODE_ROOMS`], unless it is one of [`NOT_CODES`] or the
//! name of a variable of the build (`env!`). Such words have no other use in those crates, so no code can be
//! forgotten, wherever it is written.
//! **A wire name** is the first literal of a row of a `wire_names!` table; the second is its version. The members of
//! its newest version are those of its golden file.

use std::collections::BTreeMap;

use crate::Breach;
use crate::source::{Source, closing_brace};
use crate::tree::{File, Tree};

const ERRORS: &str = "docs/ERRORS.md";
const EVENTS: &str = "docs/EVENTS.md";
/// Crates whose codes reach a user: refusals, errors of commands, errors of the API.
const CODE_ROOMS: [&str; 3] = ["domain/src/", "commands/src/", "gateways/api/src/"];
/// Words in capitals that are no codes: methods of HTTP, statements of SQL, an empty duration, a rule of spelling.
const NOT_CODES: [&str; 11] = [
    "POST",
    "HEAD",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "VACUUM",
    "PT0S",
    "SCREAMING_SNAKE_CASE",
];
/// What the section of each code says, in this order.
const CODE_PARTS: [&str; 3] = ["- Status: ", "- Cause: ", "- Remedy: "];

/// Where something was found: file and line.
type Place = (String, usize);

/// Adds what code and documents do not agree on.
pub(crate) fn check(tree: &Tree, sources: &[Source<'_>], breaches: &mut Vec<Breach>) {
    codes(tree, sources, breaches);
    events(tree, sources, breaches);
    for file in tree.files.iter().filter(|file| is_document(&file.path)) {
        links(tree, file, breaches);
    }
}

fn is_document(path: &str) -> bool {
    path == "README.md" || (path.starts_with("docs/") && path.ends_with(".md"))
}

fn codes(tree: &Tree, sources: &[Source<'_>], breaches: &mut Vec<Breach>) {
    let mut written: BTreeMap<String, Place> = BTreeMap::new();
    let rooms = |source: &&Source<'_>| CODE_ROOMS.iter().any(|room| source.path.starts_with(room));
    for source in sources.iter().filter(rooms) {
        for literal in source.literals.iter().filter(|literal| is_code(&literal.text)) {
            let is_variable = source.code.get(..literal.at).is_some_and(|before| before.ends_with("env!("));
            let is_other = is_variable || NOT_CODES.contains(&literal.text.as_str());
            if !is_other && !source.is_test(literal.at) {
                let place = || (source.path.to_owned(), source.line_of(literal.at));
                written.entry(literal.text.clone()).or_insert_with(place);
            }
        }
    }
    let documented = headings(tree, ERRORS, is_code);
    for (code, (file, line)) in written.iter().filter(|(code, _)| !documented.contains_key(*code)) {
        breaches.push(Breach::new(
            file,
            *line,
            format!("the code {code} has no heading in {ERRORS}"),
            format!(
                "Add `## {code}` there with cause, remedy and status; a word that is no code goes into NOT_CODES \
                 of .ci/tidy/src/docs.rs."
            ),
        ));
    }
    for (code, (file, line)) in &documented {
        let section = section(tree, ERRORS, *line);
        for part in CODE_PARTS.iter().filter(|part| !section.contains(*part)) {
            breaches.push(Breach::new(
                file,
                *line,
                format!("the section of {code} has no line `{part}`"),
                "Say in it what status it comes with, what causes it, and what the reader can do.",
            ));
        }
    }
    for (code, (file, line)) in documented.iter().filter(|(code, _)| !written.contains_key(*code)) {
        breaches.push(Breach::new(
            file,
            *line,
            format!("no code of the program is called {code}"),
            "Delete the heading, or correct its spelling.",
        ));
    }
}

fn events(tree: &Tree, sources: &[Source<'_>], breaches: &mut Vec<Breach>) {
    let mut written: BTreeMap<String, (Place, String)> = BTreeMap::new();
    for source in sources {
        for (name, version, at) in wire_names(source) {
            written.insert(name, ((source.path.to_owned(), source.line_of(at)), version));
        }
    }
    let documented = headings(tree, EVENTS, is_wire_name);
    for (name, ((file, line), version)) in &written {
        let Some((_, heading)) = documented.get(name) else {
            breaches.push(Breach::new(
                file,
                *line,
                format!("the event {name} has no heading in {EVENTS}"),
                format!("Add `## {name}` there with version, members and readers."),
            ));
            continue;
        };
        let section = section(tree, EVENTS, *heading);
        if !section.contains(&format!("Version {version}.")) {
            breaches.push(Breach::new(
                EVENTS,
                *heading,
                format!("the section of {name} does not say `Version {version}.`, the newest in the code"),
                "Describe the newest version, and what upcasting makes of older ones.",
            ));
        }
        for member in golden_members(tree, name, version) {
            if !section.contains(&format!("`{member}`")) {
                breaches.push(Breach::new(
                    EVENTS,
                    *heading,
                    format!("the section of {name} does not explain its member `{member}`"),
                    "Add a row that says what it means.",
                ));
            }
        }
    }
    for (name, (file, line)) in documented.iter().filter(|(name, _)| !written.contains_key(*name)) {
        breaches.push(Breach::new(
            file,
            *line,
            format!("no event of the program is called {name}"),
            "Correct the heading; an event that is written no more keeps its heading and its row in `wire_names!`.",
        ));
    }
}

/// Name, version and place of each row of the tables in a source.
fn wire_names(source: &Source<'_>) -> Vec<(String, String, usize)> {
    let mut rows = Vec::new();
    for at in source.after("wire_names!(") {
        let Some(end) = closing_brace(&source.code, at - 1) else {
            continue;
        };
        let mut inside = source.literals.iter().filter(|literal| (at..end).contains(&literal.at));
        while let (Some(name), Some(version)) = (inside.next(), inside.next()) {
            rows.push((name.text.clone(), version.text.clone(), name.at));
        }
    }
    rows
}

fn is_code(text: &str) -> bool {
    text.len() >= 4
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_wire_name(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    text.contains('.') && text.split('.').all(is_part)
}

/// The headings of a document that `wanted` accepts, with their places.
fn headings(tree: &Tree, document: &str, wanted: fn(&str) -> bool) -> BTreeMap<String, Place> {
    let text = tree.file(document).map_or("", |file| file.text.as_str());
    text.lines()
        .enumerate()
        .filter_map(|(i, line)| {
            let heading = line.strip_prefix('#')?.trim_start_matches('#').trim().trim_matches('`');
            wanted(heading).then(|| (heading.to_owned(), (document.to_owned(), i + 1)))
        })
        .collect()
}

/// The section of a document whose heading stands at the line `heading`.
fn section(tree: &Tree, document: &str, heading: usize) -> String {
    let text = tree.file(document).map_or("", |file| file.text.as_str());
    let lines: Vec<&str> = text.lines().skip(heading).take_while(|line| !line.starts_with('#')).collect();
    lines.join("\n")
}

/// The members of an event as its golden file shows them, without the two that every event has.
fn golden_members(tree: &Tree, name: &str, version: &str) -> Vec<String> {
    let kind = name.split('.').next().unwrap_or_default();
    let path = format!("domain/tests/golden/{kind}/{name}.v{version}.json");
    let json = tree.file(&path).and_then(|file| serde_json::from_str(&file.text).ok());
    let members = json.as_ref().and_then(serde_json::Value::as_object);
    let names = members.into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
    names.filter(|member| !["type", "at"].contains(member)).map(str::to_owned).collect()
}

/// Paths that begin with `docs/`, and targets of links relative to the document.
fn links(tree: &Tree, file: &File, breaches: &mut Vec<Breach>) {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for (i, line) in file.text.lines().enumerate() {
        let mentioned = line.match_indices("docs/").filter(|(at, _)| starts_here(line, *at));
        let paths = mentioned.filter_map(|(at, _)| line.get(at..)).map(|rest| path_of(rest).to_owned());
        let targets = line.match_indices("](").filter_map(|(at, _)| line.get(at + 2..)).map(|rest| {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if target.contains("://") { String::new() } else { join(folder, target) }
        });
        for path in paths.chain(targets).filter(|path| !path.is_empty() && !tree.has(path)) {
            breaches.push(Breach::new(
                &file.path,
                i + 1,
                format!("there is no `{path}`"),
                "Correct the path, or write the document that it promises.",
            ));
        }
    }
}

/// Whether a path begins at this place and is not the end of a longer one.
fn starts_here(line: &str, at: usize) -> bool {
    let before = line.get(..at).and_then(|text| text.chars().next_back());
    !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
}

/// The path at the beginning of a text, without the punctuation that ends a sentence.
fn path_of(text: &str) -> &str {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches('.')
}

fn join(folder: &str, target: &str) -> String {
    if target.is_empty() || target.starts_with('/') {
        return String::new();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}
