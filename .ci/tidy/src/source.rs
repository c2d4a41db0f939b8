//! Rust text, read without understanding it: comments and the inside of literals are blanked, so that braces and
//! words in them count for nothing. Knows strings, raw strings, characters, lifetimes and nested comments.
//! This is no parser: what a macro expands to is never seen.

use std::ops::Range;

use crate::tree::Tree;

/// A string literal.
pub(crate) struct Literal {
    /// Where its opening quote stands.
    pub(crate) at: usize,
    /// What stands between its quotes, escapes untouched.
    pub(crate) text: String,
}

/// A function with a body.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`.
    pub(crate) line: usize,
    /// Lines from its `fn` to its closing brace, both included.
    pub(crate) lines: usize,
}

/// One `.rs` file.
pub(crate) struct Source<'a> {
    /// Relative to the root.
    pub(crate) path: &'a str,
    /// The text, with comments blanked and literals emptied; as long as the original.
    pub(crate) code: String,
    /// Its string literals, in order.
    pub(crate) literals: Vec<Literal>,
    /// The inline modules under `#[cfg(test)]`.
    pub(crate) test_blocks: Vec<Range<usize>>,
    /// Whether the whole file is test code: `tests.rs`, anything in a folder `tests`, and modules that are declared
    /// under `#[cfg(test)]`.
    pub(crate) is_test_file: bool,
}

/// Every `.rs` file of the tree.
pub(crate) fn all(tree: &Tree) -> Vec<Source<'_>> {
    let rust = tree.files.iter().filter(|file| file.path.ends_with(".rs"));
    let mut sources: Vec<Source<'_>> = rust.map(|file| Source::new(&file.path, &file.text)).collect();
    let declared: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let module = source.path.strip_suffix(".rs").unwrap_or(source.path);
        source.is_test_file |= declared.iter().any(|name| {
            module.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
    sources
}

impl<'a> Source<'a> {
    /// Reads one text.
    pub(crate) fn new(path: &'a str, text: &str) -> Self {
        let mut scanner = Scanner { text: text.as_bytes(), at: 0, code: Vec::new(), literals: Vec::new() };
        scanner.run();
        let code = String::from_utf8(scanner.code).unwrap_or_default();
        let test_blocks = test_items(&code).filter_map(|item| item.block()).collect();
        let is_test_file = path.split('/').any(|part| part == "tests" || part == "tests.rs");
        Self { path, code, literals: scanner.literals, test_blocks, is_test_file }
    }

    /// The modules in files of their own that are declared under `#[cfg(test)]`, as paths without `.rs`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        let parent = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
        };
        let names =
            test_items(&self.code).filter(|item| item.block().is_none()).filter_map(|item| item.module());
        names.map(|name| format!("{parent}/{name}")).collect()
    }

    /// Whether the place belongs to test code.
    pub(crate) fn is_test(&self, at: usize) -> bool {
        self.is_test_file || self.test_blocks.iter().any(|block| block.contains(&at))
    }

    /// The line of a place, from 1.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        1 + self.code.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
    }

    /// Every function that has a body, nested ones too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        words(&self.code)
            .filter(|(_, word)| *word == "fn")
            .filter_map(|(at, _)| {
                let rest = self.code.get(at + 2..)?;
                let name_at = at + 2 + rest.len() - rest.trim_start().len();
                let name = word_at(&self.code, name_at).filter(|name| !name.is_empty())?;
                let open = body_of(&self.code, name_at + name.len())?;
                let close = closing_brace(&self.code, open)?;
                let line = self.line_of(at);
                Some(Function { name: name.to_owned(), line, lines: self.line_of(close) - line + 1 })
            })
            .collect()
    }

    /// The place just after each occurrence of `pattern` in code.
    pub(crate) fn after<'s>(&'s self, pattern: &'s str) -> impl Iterator<Item = usize> + 's {
        self.code.match_indices(pattern).map(|(at, found)| at + found.len())
    }
}

/// The closing brace that belongs to the opening one at `open`.
pub(crate) fn closing_brace(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// The opening brace of the body whose signature goes on at `at`; `None` for a declaration.
fn body_of(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b'{' if depth == 0 => return Some(i),
            b';' | b'}' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// An item under `#[cfg(test)]`.
struct TestItem<'a> {
    code: &'a str,
    /// Where its first attribute begins.
    start: usize,
    /// From after its attributes to its opening brace or its semicolon.
    head: Range<usize>,
}

impl<'a> TestItem<'a> {
    /// Its name, if it is a module.
    fn module(&self) -> Option<&'a str> {
        let mut words = self.code.get(self.head.clone())?.split_whitespace();
        words.find(|word| *word == "mod")?;
        words.next()
    }

    /// All of it, if it is a module that is written out here.
    fn block(&self) -> Option<Range<usize>> {
        self.module()?;
        let is_open = self.code.as_bytes().get(self.head.end) == Some(&b'{');
        let end = closing_brace(self.code, self.head.end).filter(|_| is_open)?;
        Some(self.start..end + 1)
    }
}

fn test_items(code: &str) -> impl Iterator<Item = TestItem<'_>> {
    code.match_indices("#[cfg(test)]").filter_map(|(start, attribute)| {
        let mut next = skip_space(code, start + attribute.len());
        while code.get(next..)?.starts_with("#[") {
            next = skip_space(code, closing_brace(code, next + 1)? + 1);
        }
        let end = next + code.get(next..)?.find(['{', ';'])?;
        Some(TestItem { code, start, head: next..end })
    })
}

fn skip_space(code: &str, at: usize) -> usize {
    code.get(at..).map_or(at, |rest| at + rest.len() - rest.trim_start().len())
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn word_at(code: &str, at: usize) -> Option<&str> {
    let rest = code.get(at..)?;
    let end = rest.bytes().position(|byte| !is_word(byte)).unwrap_or(rest.len());
    rest.get(..end)
}

/// Place and text of each word.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code.as_bytes().get(at..)?.iter().position(|byte| is_word(*byte))?;
        let word = word_at(code, start)?;
        at = start + word.len();
        Some((start, word))
    })
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
    literals: Vec<Literal>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.text.get(self.at).copied() {
            match byte {
                b'/' if self.sees(b"//") => self.blank_until(self.find(self.at, b'\n')),
                b'/' if self.sees(b"/*") => self.blank_until(self.end_of_comment()),
                b'"' => self.string(self.end_of_string(self.at + 1), 1),
                b'\'' => self.character_or_lifetime(),
                _ if is_word(byte) => self.word(),
                _ => self.keep(1),
            }
        }
    }

    fn sees(&self, what: &[u8]) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(what))
    }

    fn find(&self, from: usize, what: u8) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        rest.iter().position(|byte| *byte == what).map_or(self.text.len(), |i| from + i)
    }

    fn keep(&mut self, count: usize) {
        let end = (self.at + count).min(self.text.len());
        self.code.extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    fn blank_until(&mut self, end: usize) {
        let end = end.min(self.text.len());
        let blank = |byte: &u8| if *byte == b'\n' { b'\n' } else { b' ' };
        self.code.extend(self.text.get(self.at..end).unwrap_or_default().iter().map(blank));
        self.at = end;
    }

    /// A word, or the beginning of a raw string: `r`, `br` or `cr`, then hashes, then a quote.
    fn word(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
        let is_prefix = matches!(rest.get(..length), Some(b"r" | b"br" | b"cr"));
        let after = rest.get(length..).unwrap_or_default();
        let hashes = after.iter().take_while(|byte| **byte == b'#').count();
        self.keep(length);
        if is_prefix && after.get(hashes) == Some(&b'"') {
            self.keep(hashes);
            let closing: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            let body = self.text.get(self.at + 1..).unwrap_or_default();
            let found = body.windows(closing.len()).position(|window| window == closing);
            self.string(found.map_or(self.text.len(), |i| self.at + 1 + i), closing.len());
        }
    }

    /// A string whose closing quote stands at `end` and which closes with `closing` bytes.
    fn string(&mut self, end: usize, closing: usize) {
        let inside = self.text.get(self.at + 1..end).unwrap_or_default();
        self.literals.push(Literal { at: self.at, text: String::from_utf8_lossy(inside).into_owned() });
        self.keep(1);
        self.blank_until(end);
        self.keep(closing);
    }

    fn end_of_string(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(byte) = self.text.get(at) {
            match byte {
                b'"' => return at,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.text.len()
    }

    /// Comments nest.
    fn end_of_comment(&self) -> usize {
        let mut depth = 0_usize;
        let mut at = self.at;
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(b"/*") {
                depth += 1;
                at += 2;
            } else if rest.starts_with(b"*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            } else {
                at += 1;
            }
        }
        self.text.len()
    }

    /// `'x'` and `'\n'` are characters, `'a` is a lifetime.
    fn character_or_lifetime(&mut self) {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let width = match rest.first() {
            Some(0xf0..) => 4,
            Some(0xe0..) => 3,
            Some(0xc0..) => 2,
            _ => 1,
        };
        let end = match rest.first() {
            Some(b'\\') => Some(self.find(self.at + 3, b'\'')),
            _ if rest.get(width) == Some(&b'\'') => Some(self.at + 1 + width),
            _ => None,
        };
        self.keep(1);
        if let Some(end) = end {
            self.blank_until(end);
            self.keep(1);
        }
    }
}
