//! Webhooks.

use uuid::Uuid;

use super::*;
use crate::private::Private;

const URL: &str = "https://example.com/hook?token=abc";

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn names(events: &[&str]) -> Vec<String> {
    events.iter().map(|name| (*name).to_owned()).collect()
}

fn draft(url: &str, events: &[&str]) -> WebhookDraft {
    WebhookDraft { url: Some(url.into()), events: Some(names(events)), ..WebhookDraft::default() }
}

fn add(draft: WebhookDraft) -> Command {
    ask(Action::AddWebhook { id: id(1), draft })
}

fn added(n: u128) -> Event {
    Event::WebhookAdded {
        webhook_id: id(n),
        url: Private::of_guild(GUILD, URL),
        events: names(&["license.*"]),
        secret_version: 1,
        asymmetric: false,
        at: T1,
    }
}

fn disabled() -> Event {
    Event::WebhookDisabled { webhook_id: id(1), cause: "gone".into(), at: T1 }
}

fn change(draft: WebhookDraft) -> Command {
    ask(Action::ChangeWebhook { id: id(1), draft })
}

fn changed(url: Option<&str>, secret_version: u32, enabled: bool) -> Event {
    Event::WebhookChanged {
        webhook_id: id(1),
        url: url.map(|url| Private::of_guild(GUILD, url)),
        events: names(&["license.*"]),
        secret_version,
        asymmetric: false,
        enabled,
        at: T1,
    }
}

#[test]
fn a_webhook_is_added_with_its_address_sealed_for_the_guild() {
    given([]).when(add(draft(URL, &["license.*"]))).then_expect_events(vec![added(1)]);
    let twice = draft(URL, &["user.registered", "license.*", "license.*"]);
    let guild = folded(given([]).when(add(twice)).inspect_result().unwrap());
    assert_eq!(guild.webhook(id(1)).unwrap().events, ["license.*", "user.registered"]);
}

#[test]
fn addresses_are_checked_by_their_form() {
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    let bad = [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https:///path",
        "https://?q",
        "https://user:secret@example.com/",
        "https://token@example.com",
        "https://example.com\\@evil.example",
        "https://exam ple.com",
        "https://example.com/\n",
        long.as_str(),
    ];
    for url in bad {
        invalid("url")(given([]).when(add(draft(url, &["license.*"]))).inspect_result());
        let moved = WebhookDraft { url: Some(url.into()), ..WebhookDraft::default() };
        invalid("url")(given([added(1)]).when(change(moved)).inspect_result());
    }
    for url in ["http://localhost:9000", "https://example.com/a@b?c=d@e", "https://[::1]/hook"] {
        assert!(given([]).when(add(draft(url, &["license.*"]))).inspect_result().is_ok(), "{url}");
    }
    let none = WebhookDraft { events: Some(names(&["license.*"])), ..WebhookDraft::default() };
    invalid("url")(given([]).when(add(none)).inspect_result());
}

#[test]
fn a_webhook_subscribes_to_something() {
    let many: Vec<String> = (0..65).map(|n| format!("license.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for events in [&[][..], &[""], &["license. *"], &["x".repeat(65).as_str()], &many] {
        invalid("events")(given([]).when(add(draft(URL, events))).inspect_result());
    }
    let absent = WebhookDraft { url: Some(URL.into()), ..WebhookDraft::default() };
    invalid("events")(given([]).when(add(absent)).inspect_result());
}

#[test]
fn the_id_of_a_webhook_is_its_own() {
    invalid("id")(given([added(1)]).when(add(draft(URL, &["license.*"]))).inspect_result());
}

#[test]
fn a_guild_has_at_most_fifty_webhooks() {
    let full = || (100..100 + WEBHOOKS_MAX as u128).map(added);
    given(full())
        .when(add(draft(URL, &["license.*"])))
        .then_expect_error(Refusal::LimitReached { what: "webhooks", limit: WEBHOOKS_MAX });
    let removed = Event::WebhookRemoved { webhook_id: id(120), at: T1 };
    given(full().chain([removed])).when(add(draft(URL, &["license.*"]))).then_expect_events(vec![added(1)]);
}

#[test]
fn a_webhook_changes_as_far_as_it_is_named() {
    let other = "http://example.net/";
    let moved = WebhookDraft { url: Some(other.into()), ..WebhookDraft::default() };
    given([added(1)]).when(change(moved)).then_expect_events(vec![changed(Some(other), 1, false)]);
    let rotated = WebhookDraft { rotate_secret: true, ..WebhookDraft::default() };
    given([added(1)]).when(change(rotated)).then_expect_events(vec![changed(None, 2, false)]);
    given([added(1)]).when(change(WebhookDraft::default())).then_expect_events(vec![]);
    let same = WebhookDraft {
        events: Some(names(&["license.*"])),
        asymmetric: Some(false),
        enable: true,
        ..WebhookDraft::default()
    };
    given([added(1)]).when(change(same)).then_expect_events(vec![]);
    let signed = WebhookDraft { asymmetric: Some(true), ..WebhookDraft::default() };
    let guild = folded(
        [added(1)].into_iter().chain(given([added(1)]).when(change(signed)).inspect_result().unwrap()),
    );
    let webhook = guild.webhook(id(1)).unwrap();
    assert!(webhook.asymmetric);
    assert_eq!(webhook.url, Private::of_guild(GUILD, URL));
}

#[test]
fn a_webhook_is_switched_off_once_and_on_again() {
    let disable = || ask(Action::DisableWebhook { id: id(1), cause: "gone".into() });
    given([added(1)]).when(disable()).then_expect_events(vec![disabled()]);
    given([added(1), disabled()]).when(disable()).then_expect_events(vec![]);
    let enable = WebhookDraft { enable: true, ..WebhookDraft::default() };
    given([added(1), disabled()]).when(change(enable)).then_expect_events(vec![changed(None, 1, true)]);
    assert!(!folded([added(1), disabled(), changed(None, 1, true)]).webhook(id(1)).unwrap().disabled);
    let moved = changed(Some("http://example.net/"), 1, false);
    assert!(folded([added(1), disabled(), moved]).webhook(id(1)).unwrap().disabled);
}

#[test]
fn the_cause_is_a_word_and_no_text() {
    for cause in ["", "Ada asked for it", "gone!", "x".repeat(33).as_str()] {
        let disable = ask(Action::DisableWebhook { id: id(1), cause: cause.into() });
        invalid("cause")(given([added(1)]).when(disable).inspect_result());
    }
}

#[test]
fn an_unknown_webhook_is_not_found() {
    let missing = || Refusal::WebhookNotFound { id: id(1) };
    given([]).when(change(WebhookDraft::default())).then_expect_error(missing());
    given([]).when(ask(Action::RemoveWebhook { id: id(1) })).then_expect_error(missing());
    let disable = ask(Action::DisableWebhook { id: id(1), cause: "gone".into() });
    given([]).when(disable).then_expect_error(missing());
    given([added(1)])
        .when(ask(Action::RemoveWebhook { id: id(1) }))
        .then_expect_events(vec![Event::WebhookRemoved { webhook_id: id(1), at: T1 }]);
}
