//! `docs/ERRORS.md` as a page: what the `type` of a problem leads to. Every heading has its own text as its anchor, codes
//! letter for letter. The text is the one that the program was built with.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, html};

const TEXT: &str = include_str!("../../../../docs/ERRORS.md");
const HEAD: &str = include_str!("../openapi/page/errors.html");

/// The page.
pub(crate) fn page() -> String {
    let events: Vec<Event<'_>> = Parser::new(TEXT).collect();
    let anchored = events.iter().enumerate().map(|(at, event)| match event {
        Event::Start(Tag::Heading { level, .. }) => {
            anchored(*level, events.get(at + 1)).unwrap_or_else(|| event.clone())
        }
        _ => event.clone(),
    });
    let mut page = HEAD.to_owned();
    html::push_html(&mut page, anchored);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The beginning of a heading, with its text as its anchor.
fn anchored<'t>(level: HeadingLevel, content: Option<&Event<'t>>) -> Option<Event<'t>> {
    let (Event::Text(text) | Event::Code(text)) = content? else { return None };
    let id = Some(text.replace(' ', "-").into());
    Some(Event::Start(Tag::Heading { level, id, classes: Vec::new(), attrs: Vec::new() }))
}
