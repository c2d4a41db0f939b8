//! Plants one breach at a time in a small tidy workspace and asks for exactly that breach. Touches temporary
//! folders only; cargo is asked for metadata, never for a build.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::source::Source;
use crate::{Breach, check};

const MANIFEST: &str =
    "[package]\nname = \"NAME\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lints]\nworkspace = true\n";
const EVENT: &str = "//! Events.\ncrate::wire_names!(Event {\n    Made => \"license.made\", \"1\";\n});\n";
const REFUSAL: &str = "//! Refusals.\nfn code() -> &'static str {\n    \"NOT_FOUND\"\n}\n";

const PARTS: &str = "- Status: 404.\n- Cause: it is not there.\n- Remedy: look elsewhere.\n";

/// A workspace in a temporary folder.
struct World {
    root: TempDir,
}

impl World {
    /// Without any breach.
    fn tidy() -> Self {
        let world = Self { root: tempfile::Builder::new().prefix("tidy-").tempdir().unwrap() };
        world
            .with_members(&["domain", "commands"])
            .with("README.md", "See docs/ERRORS.md and [events](docs/EVENTS.md).\n")
            .with("docs/ERRORS.md", &format!("# Errors\n## `NOT_FOUND`\n{PARTS}"))
            .with("docs/EVENTS.md", "# Events\n## license.made\nVersion 1. Members.\n")
            .with("domain/src/event.rs", EVENT)
            .with("domain/src/refusal.rs", REFUSAL)
            .with("migrations/postgres/0001_events.sql", "SELECT 1;\n")
            .with("migrations/sqlite/0001_events.sql", "SELECT 1;\n")
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn without(self, path: &str) -> Self {
        fs::remove_file(self.root.path().join(path)).unwrap();
        self
    }

    /// A root manifest, and a crate for each member that has none.
    fn with_members(mut self, members: &[&str]) -> Self {
        let list: Vec<String> = members.iter().map(|member| format!("\"{member}\"")).collect();
        let ours: Vec<String> =
            members.iter().map(|path| format!("{} = {{ path = \"{path}\" }}", name_of(path))).collect();
        let outside = ["axum", "serenity", "fred", "sqlx", "anyhow", "jsonwebtoken", "serde"];
        let outside: Vec<String> = outside.iter().map(|name| format!("{name} = \"1\"")).collect();
        self = self.with(
            "Cargo.toml",
            &format!(
                "[workspace]\nresolver = \"3\"\nmembers = [{}]\n[workspace.lints.rust]\n[workspace.dependencies]\n{}\n{}\n",
                list.join(", "),
                ours.join("\n"),
                outside.join("\n")
            ),
        );
        for member in members {
            if !self.root.path().join(member).join("Cargo.toml").exists() {
                self = self.with_crate(member, "");
            }
        }
        self
    }

    fn with_crate(self, path: &str, sections: &str) -> Self {
        let manifest = format!("{}\n{sections}", MANIFEST.replace("NAME", name_of(path)));
        self.with(&format!("{path}/Cargo.toml"), &manifest)
            .with(&format!("{path}/src/lib.rs"), "//! A crate.\n")
    }

    fn breaches(&self) -> Vec<Breach> {
        check(self.root.path()).unwrap()
    }

    /// Exactly one breach, at `place`, whose text contains `what`.
    #[track_caller]
    fn breaks(&self, place: &str, what: &str) {
        let breaches = self.breaches();
        let shown: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "one breach was planted, these were found: {shown:#?}");
        assert!(shown[0].starts_with(&format!("{place}: ")), "not at {place}: {}", shown[0]);
        assert!(breaches[0].what.contains(what), "does not say `{what}`: {}", breaches[0].what);
        assert!(breaches[0].remedy.ends_with('.'), "the remedy is a sentence: {}", breaches[0].remedy);
    }
}

fn name_of(path: &str) -> &str {
    Path::new(path).file_name().unwrap().to_str().unwrap()
}

/// A function of `lines` lines.
fn function(name: &str, lines: usize) -> String {
    format!("fn {name}() {{\n{}}}\n", "    let _ = 1;\n".repeat(lines - 2))
}

#[test]
fn a_tidy_workspace_has_no_breach() {
    assert_eq!(World::tidy().breaches(), []);
}

#[test]
fn projections_never_name_commands() {
    World::tidy()
        .with_members(&["domain", "commands", "projections"])
        .with_crate("projections", "[dependencies]\ncommands.workspace = true\n")
        .breaks("projections/Cargo.toml:10", "`projections` names `commands`, and it may name only domain");
}

#[test]
fn gateways_never_name_each_other_except_the_stand_in_in_tests() {
    let gateways = ["domain", "commands", "gateways/discord", "gateways/fake-discord"];
    World::tidy()
        .with_members(&gateways)
        .with_crate("gateways/discord", "[dev-dependencies]\nfake-discord.workspace = true\n")
        .with_crate("gateways/fake-discord", "[dependencies]\ndiscord.workspace = true\n")
        .breaks("gateways/fake-discord/Cargo.toml:10", "`fake-discord` names `discord`");
}

#[test]
fn the_rules_are_built_from_a_short_list() {
    World::tidy()
        .with_crate("domain", "[dependencies]\nserde.workspace = true\nfred.workspace = true\n")
        .with("domain/src/event.rs", EVENT)
        .breaks("domain/Cargo.toml:11", "`domain` names `fred`");
}

#[test]
fn outside_crates_have_owners_but_tests_may_name_them() {
    World::tidy()
        .with_crate(
            "commands",
            "[dependencies]\nsqlx.workspace = true\naxum = { workspace = true }\n\n[dev-dependencies]\nanyhow.workspace = true\n",
        )
        .breaks("commands/Cargo.toml:11", "`commands` names `axum`, which belongs to api and fake-discord");
}

#[test]
fn a_new_crate_needs_a_row() {
    World::tidy()
        .with_members(&["domain", "commands", "gateways/carrier-pigeon"])
        .breaks("gateways/carrier-pigeon/Cargo.toml:1", "`carrier-pigeon` has no row");
}

#[test]
fn every_crate_is_a_member_and_takes_the_lints_and_versions_of_the_workspace() {
    World::tidy()
        .with("gateways/api/Cargo.toml", "[package]\nname = \"api\"\n[workspace]\n")
        .breaks("gateways/api/Cargo.toml:1", "no member");
    let bare = "[package]\nname = \"commands\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    World::tidy().with("commands/Cargo.toml", bare).breaks("commands/Cargo.toml:1", "lints");
    World::tidy()
        .with_crate("commands", "[dependencies]\nserde = \"1\"\n")
        .breaks("commands/Cargo.toml:10", "`serde` does not come from the table");
    World::tidy()
        .with_crate("commands", "[dependencies.serde]\nversion = \"1\"\nfeatures = [\n    \"rc\",\n]\n")
        .breaks("commands/Cargo.toml:9", "`serde` does not come from the table");
    let several_lines = "[dependencies]\nserde = { workspace = true, features = [\n    \"rc\",\n] }\n";
    assert_eq!(World::tidy().with_crate("commands", several_lines).breaches(), []);
}

#[test]
fn the_clippy_file_of_a_crate_repeats_the_bans_of_the_root() {
    let ban = "disallowed-methods = [\n    { path = \"std::thread::sleep\", reason = \"blocks\" },\n]\n";
    let world = World::tidy().with(".clippy.toml", ban).with("domain/.clippy.toml", ban);
    assert_eq!(world.breaches(), []);
    world
        .with("domain/.clippy.toml", "")
        .breaks("domain/.clippy.toml:1", "ban of `std::thread::sleep` is not repeated");
}

#[test]
fn functions_have_at_most_70_lines() {
    assert_eq!(
        World::tidy().with("commands/src/lib.rs", &format!("//! Fits.\n{}", function("fits", 70))).breaches(),
        []
    );
    World::tidy()
        .with("commands/src/lib.rs", &format!("//! Long.\n{}", function("long", 71)))
        .breaks("commands/src/lib.rs:2", "`long` has 71 lines");
}

#[test]
fn handlers_have_at_most_40_lines() {
    let text = format!("//! A route.\n{}{}", function("fits", 40), function("long", 41));
    World::tidy()
        .with_members(&["domain", "commands", "gateways/api"])
        .with("gateways/api/src/routes/validate.rs", &text)
        .breaks("gateways/api/src/routes/validate.rs:42", "`long` has 41 lines, and 40 are allowed");
}

#[test]
fn files_have_at_most_500_lines_without_their_tests() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // A test.\n".repeat(300));
    let fits = format!("//! Fits.\n{}{tests}", "// Code.\n".repeat(499));
    assert_eq!(World::tidy().with("commands/src/lib.rs", &fits).breaches(), []);
    assert_eq!(
        World::tidy()
            .with("commands/tests/it/big.rs", &format!("//! Tests.\n{}", "//\n".repeat(900)))
            .breaches(),
        []
    );
    World::tidy()
        .with("commands/src/lib.rs", &format!("//! Long.\n{}{tests}", "// Code.\n".repeat(500)))
        .breaks("commands/src/lib.rs:500", "501 lines without its tests");
}

#[test]
fn migrations_come_in_pairs_without_gaps() {
    World::tidy()
        .with("migrations/postgres/0002_more.sql", "")
        .breaks("migrations/postgres/0002_more.sql:1", "no partner in migrations/sqlite/");
    World::tidy()
        .with("migrations/postgres/0003_more.sql", "")
        .with("migrations/sqlite/0003_more.sql", "")
        .breaks("migrations/postgres/0003_more.sql:1", "number 0003 where 0002 comes next");
    World::tidy()
        .with("migrations/sqlite/notes.txt", "")
        .breaks("migrations/sqlite/notes.txt:1", "NNNN_name.sql");
}

#[test]
fn every_file_says_what_it_is_for() {
    World::tidy().with("commands/src/a.rs", "fn f() {}\n").breaks("commands/src/a.rs:1", "`//!`");
}

#[test]
fn every_code_has_a_heading_and_every_heading_a_code() {
    World::tidy()
        .with("commands/src/error.rs", "//! Errors.\nconst A: &str = \"CONFLICT\";\n")
        .breaks("commands/src/error.rs:2", "CONFLICT has no heading");
    World::tidy()
        .with("docs/ERRORS.md", &format!("## NOT_FOUND\n{PARTS}### GONE_FISHING\n{PARTS}"))
        .breaks("docs/ERRORS.md:5", "no code of the program is called GONE_FISHING");
    World::tidy()
        .with("docs/ERRORS.md", "## NOT_FOUND\n- Status: 404.\n- Cause: it is not there.\n")
        .breaks("docs/ERRORS.md:1", "the section of NOT_FOUND has no line `- Remedy: `");
    let tests = "//! Errors.\n// \"IN_A_COMMENT\"\nconst V: &str = env!(\"CARGO_PKG_VERSION\");\n#[cfg(test)]\nmod tests {\n    const A: &str = \"ONLY_A_TEST\";\n}\n";
    assert_eq!(World::tidy().with("commands/src/error.rs", tests).breaches(), []);
}

#[test]
fn every_event_has_a_heading_with_its_newest_version_and_its_members_and_every_heading_an_event() {
    World::tidy()
        .with(
            "domain/src/more.rs",
            "//! More.\ncrate::wire_names!(Event { Left => \"guild.left\", \"1\"; });\n",
        )
        .breaks("domain/src/more.rs:2", "guild.left has no heading");
    World::tidy()
        .with("docs/EVENTS.md", "## license.made\nVersion 1.\n## `license.lost`\nVersion 1.\n")
        .breaks("docs/EVENTS.md:3", "no event of the program is called license.lost");
    World::tidy()
        .with("domain/src/event.rs", &EVENT.replace("\"1\"", "\"2\""))
        .breaks("docs/EVENTS.md:2", "does not say `Version 2.`");
    World::tidy()
        .with("docs/EVENTS.md", "## license.made\nVersion 1. It has a `color`.\n")
        .with(
            "domain/tests/golden/license/license.made.v1.json",
            "{\"type\":\"\",\"at\":1,\"color\":1,\"size\":2}",
        )
        .breaks("docs/EVENTS.md:1", "does not explain its member `size`");
}

#[test]
fn documents_mention_only_what_exists() {
    World::tidy()
        .with("docs/ADDING.md", "Fine: `docs/decisions`, target/docs/x.\nBad: see docs/GONE.md.\n")
        .with(
            "docs/decisions/0001-a.md",
            "Back to [errors](../ERRORS.md#not_found), <https://docs.rs/docs/x>.\n",
        )
        .breaks("docs/ADDING.md:2", "there is no `docs/GONE.md`");
    World::tidy()
        .with("docs/ADDING.md", "See [it](GONE.md).\n")
        .breaks("docs/ADDING.md:1", "there is no `docs/GONE.md`");
}

#[test]
fn the_top_level_is_that_of_the_design() {
    World::tidy().with("scripts/run.sh", "").breaks("scripts:1", "top level");
    let ignored =
        World::tidy().with(".gitignore", "target/\nscratch/\n").with("scratch/x", "").with(".hidden", "");
    assert_eq!(ignored.with("LICENSE-MIT", "").breaches(), []);
}

#[test]
fn unfinished_work_is_forbidden_in_code_and_free_in_words() {
    let words = "//! Words.\n// todo!() is forbidden.\nconst A: &str = \"unimplemented!()\";\n";
    assert_eq!(World::tidy().with("commands/src/a.rs", words).breaches(), []);
    for (word, shown) in [("todo!()", "`todo!(`"), ("unimplemented!()", "`unimplemented!(`")] {
        let text = format!("//! Unfinished.\nfn f() {{\n    {word}\n}}\n");
        World::tidy().with("commands/src/a.rs", &text).breaks("commands/src/a.rs:3", shown);
    }
    World::tidy()
        .with("commands/tests/it/a.rs", "//! Tests.\n#[test]\n#[ignore = \"slow\"]\nfn a() {}\n")
        .breaks("commands/tests/it/a.rs:3", "`#[ignore`");
}

#[test]
fn the_rules_are_pure_and_their_tests_are_free() {
    let clock = "fn f() {\n    std::time::SystemTime::now();\n}\n";
    World::tidy()
        .with("domain/src/clock.rs", &format!("//! A clock.\n{clock}"))
        .breaks("domain/src/clock.rs:3", "the rules name `std::time::SystemTime`");
    let tests = format!(
        "//! No clock.\n#[cfg(test)]\nmod tests {{\n{clock}}}\n#[cfg(test)]\npub(crate) mod testing;\n"
    );
    let world = World::tidy()
        .with("domain/src/lib.rs", &tests)
        .with("domain/src/testing.rs", &format!("//! For tests.\n{clock}"))
        .with("domain/src/testing/more.rs", &format!("//! For tests.\n{clock}"))
        .with("commands/src/lib.rs", &format!("//! May.\n{clock}"));
    assert_eq!(world.breaches(), []);
}

#[test]
fn no_path_of_one_machine() {
    let path = format!("COPY /{}/ada/x .\nRUN echo target/{}/x\n", "home", "work");
    World::tidy().with("Dockerfile", &path).breaks("Dockerfile:1", "exists on one machine only");
    World::tidy()
        .with(".config/nextest.toml", "[profile.default]\nretries = 2\n")
        .breaks(".config/nextest.toml:2", "tried again");
}

#[test]
fn a_missing_document_is_a_breach_for_each_of_its_headings() {
    let breaches = World::tidy().without("docs/ERRORS.md").with("README.md", "Nothing.\n").breaches();
    assert_eq!(breaches.len(), 1, "{breaches:#?}");
}

#[test]
fn the_scanner_knows_strings_characters_lifetimes_and_comments() {
    let text = r####"
fn a<'a>(x: &'a str) -> char { let _ = ("}", '}', '\'', '\u{7d}', b'}', b"\"}", 'ü'); x.chars().next().unwrap_or('{') }
/* } /* nested } */ } */
fn b() { let _ = r#"} " }"#; let _ = br##"}"#}"##; let r#type = 1; let _ = r#type; } // }
fn c(_: [u8; 3]) -> impl Fn() where u8: Copy { || {} }
trait T { fn declared(&self, _: [u8; 2]); fn given(&self) { fn nested() {} } }
type P = fn(u8) -> u8;
"####;
    let source = Source::new("a.rs", text);
    let functions = source.functions();
    let found: Vec<(&str, usize, usize)> =
        functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
    assert_eq!(found, [("a", 2, 1), ("b", 4, 1), ("c", 5, 1), ("given", 6, 1), ("nested", 6, 1)]);
    let literals: Vec<&str> = source.literals.iter().map(|literal| literal.text.as_str()).collect();
    assert_eq!(literals, ["}", "\\\"}", "} \" }", "}\"#}"]);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(source.code.lines().count(), text.lines().count());
}
