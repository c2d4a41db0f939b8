//! Method and path of a request, and the patterns that limits, faults and the journal speak of. Routes nothing.

/// A request line without version and query.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) segments: Vec<String>,
}

impl Route {
    /// The route of a path below `/api/v10`.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        Self { method: method.to_owned(), segments }
    }

    /// Whether it is what the pattern says, `*` standing for any method or any one segment.
    pub(crate) fn matches(&self, pattern: &str) -> bool {
        self.fits(pattern, |own, asked| own == asked)
    }

    /// Whether it begins as the pattern says.
    pub(crate) fn starts_with(&self, pattern: &str) -> bool {
        self.fits(pattern, |own, asked| own >= asked)
    }

    fn fits(&self, pattern: &str, enough: impl Fn(usize, usize) -> bool) -> bool {
        let Some((method, path)) = pattern.split_once(' ') else { return false };
        let wanted: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let fits = |own: &str, asked: &str| asked == "*" || own == asked;
        fits(&self.method, method)
            && enough(self.segments.len(), wanted.len())
            && self.segments.iter().zip(wanted).all(|(own, asked)| fits(own, asked))
    }

    /// The parameter that has a bucket of its own: guild, channel, or webhook with token.
    pub(crate) fn major(&self) -> String {
        match self.segments.first().map(String::as_str) {
            Some("guilds" | "channels") => self.segments.get(1).cloned().unwrap_or_default(),
            Some("webhooks") => self.segments.get(1..3).map(|both| both.join("/")).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// Whether it is an answer to an interaction, which the global limit does not count.
    pub(crate) fn is_of_interaction(&self) -> bool {
        matches!(self.segments.first().map(String::as_str), Some("interactions" | "webhooks"))
    }

    /// The path as the journal shows it: the token of an interaction authorises, so it is left out.
    pub(crate) fn shown(&self) -> String {
        let secret = if self.is_of_interaction() { Some(2) } else { None };
        let shown = self.segments.iter().enumerate();
        let shown = shown.map(|(i, segment)| if Some(i) == secret { "***" } else { segment.as_str() });
        format!("/{}", shown.collect::<Vec<_>>().join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn patterns_match_whole_or_from_the_start() {
        let route = Route::new("PUT", "/guilds/1/members/2/roles/3");
        for (pattern, whole, prefix) in [
            ("PUT /guilds/*/members/*/roles/*", true, true),
            ("* /guilds/*/members/*/roles/*", true, true),
            ("PUT /guilds/*/members", false, true),
            ("PUT /guilds/2", false, false),
            ("GET /guilds/*", false, false),
            ("PUT /guilds/*/members/*/roles/*/more", false, false),
            ("nonsense", false, false),
        ] {
            assert_eq!(route.matches(pattern), whole, "{pattern}");
            assert_eq!(route.starts_with(pattern), prefix, "{pattern}");
        }
    }
}
