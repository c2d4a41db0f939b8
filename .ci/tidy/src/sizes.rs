//! Functions and files that have outgrown their room. Medians take care of themselves; the tail needs a limit.

use crate::Breach;
use crate::source::Source;

const FUNCTION_LINES: usize = 70;
const HANDLER_LINES: usize = 40;
const HANDLERS: &str = "gateways/api/src/routes/";
const FILE_LINES: usize = 500;

/// Adds every function and file that is too long.
pub(crate) fn check(sources: &[Source<'_>], breaches: &mut Vec<Breach>) {
    for source in sources {
        functions(source, breaches);
        let lines = lines_without_tests(source);
        if !source.is_test_file && lines > FILE_LINES {
            breaches.push(Breach::new(
                source.path,
                FILE_LINES,
                format!("the file has {lines} lines without its tests, and {FILE_LINES} are allowed"),
                "Split it by what it is about, not by size: each part must be able to open with a sentence of its own.",
            ));
        }
    }
}

fn functions(source: &Source<'_>, breaches: &mut Vec<Breach>) {
    let is_handlers = source.path.starts_with(HANDLERS) && !source.is_test_file;
    let (limit, remedy) = if is_handlers {
        (
            HANDLER_LINES,
            "A handler asks, acts and answers: move rules to domain, parsing to extract/, wording to the answer's type.",
        )
    } else {
        (FUNCTION_LINES, "Give a step that has a name of its own a function of its own.")
    };
    for function in source.functions().into_iter().filter(|function| function.lines > limit) {
        breaches.push(Breach::new(
            source.path,
            function.line,
            format!("`{}` has {} lines, and {limit} are allowed", function.name, function.lines),
            remedy,
        ));
    }
}

fn lines_without_tests(source: &Source<'_>) -> usize {
    let newlines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
    let tests = source.test_blocks.iter().filter_map(|block| source.code.get(block.clone()));
    newlines(&source.code).saturating_sub(tests.map(|block| newlines(block) + 1).sum())
}
