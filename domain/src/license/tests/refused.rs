//! What is refused whatever the command, and what the verdict refuses an activation for.

use super::*;
use crate::aggregate::Refuse;

/// One of each.
pub(super) fn every_refusal() -> Vec<Refusal> {
    vec![
        Refusal::NotFound,
        Refusal::AlreadyExists,
        Refusal::Revoked { category: RevokeCategory::Fraud },
        Refusal::AlreadyAssigned,
        Refusal::NotOwned,
        Refusal::NotSuspended { hold: Hold::Policy },
        Refusal::NotExpiring,
        Refusal::NotStarted,
        Refusal::DurationRequired,
        Refusal::ExpiryBackwards { asked: day(1), earliest: day(2) },
        Refusal::ReasonRequired,
        Refusal::DevicesInUse { used: 3, limit: 2 },
        Refusal::DeviceLimitReached { used: 2, limit: 2 },
        Refusal::DeviceNotActivated,
        Refusal::ComponentsMismatch,
        Refusal::ResetCooldown { again_at: day(1) },
        Refusal::ResetBudgetExhausted { budget: 1, window: Span::days(30), again_at: Some(day(1)) },
        Refusal::ResetBudgetExhausted { budget: 0, window: Span::days(30), again_at: None },
        Refusal::ActivationBudgetExhausted { budget: 1, window: Span::days(30), again_at: Some(day(1)) },
        Refusal::RoleBound,
        Refusal::NotTransferable,
        Refusal::SelfTransfer,
        Refusal::TransferNotOffered,
        Refusal::OfferExpired { at: day(1) },
        Refusal::RekeyLimit,
        Refusal::OfflineNotAllowed,
        Refusal::LeaseNotFound,
        Refusal::UserBanned,
        Refusal::Suspended { hold: Hold::RoleLoss },
        Refusal::NotYetValid { starts_at: day(1) },
        Refusal::Expired { at: day(1) },
        Refusal::NotAssigned,
    ]
}

#[test]
fn a_license_that_was_never_made_refuses_everything_but_being_made() {
    for action in every_action() {
        let is_generate = matches!(action, Action::Generate(_));
        let result = when(&[], day(1), action.clone()).inspect_result();
        if is_generate {
            assert!(result.is_ok());
        } else {
            assert_eq!(result, Err(Refusal::NotFound), "{action:?}");
        }
    }
}

#[test]
fn a_revoked_license_refuses_everything() {
    let given = [
        generated(&thirty_days(|terms| terms.transferable = true)),
        assigned(START),
        activated(9, "pc", START),
        Event::Suspended { hold: Hold::Admin, at: START },
        revoked(day(1)),
    ];
    for now in [day(2), day(50)] {
        for action in every_action() {
            let result = when(&given, now, action.clone()).inspect_result();
            assert_eq!(result, Err(Refusal::Revoked { category: RevokeCategory::Manual }), "{action:?}");
        }
    }
    assert_eq!(Refusal::Revoked { category: RevokeCategory::Manual }.code(), "REVOKED");
}

#[test]
fn a_license_is_made_once() {
    let again = Action::Generate(Box::new(generate(&Terms::default())));
    when(&[generated(&Terms::default())], day(1), again).then_expect_error(Refusal::AlreadyExists);
}

#[test]
fn a_hold_that_is_not_there_cannot_be_lifted() {
    let given = [generated(&Terms::default()), Event::Suspended { hold: Hold::Admin, at: START }];
    when(&given, day(1), Action::Resume { hold: Hold::RoleLoss })
        .then_expect_error(Refusal::NotSuspended { hold: Hold::RoleLoss });
}

/// What an activation on day 40 is refused for.
fn refusal(terms: &Terms, more: &[Event]) -> Refusal {
    let given = [vec![generated(terms)], more.to_vec()].concat();
    when(&given, day(40), activate(1, "pc")).inspect_result().unwrap_err()
}

#[test]
fn an_activation_is_refused_with_the_code_of_the_verdict() {
    let plain = Terms::default();
    let banned = Action::ActivateDevice {
        id: uuid(1),
        claim: claim("pc"),
        name: None,
        by: Authority::Client,
        network: None,
        owner_banned: true,
    };
    when(&[generated(&plain)], day(1), banned).then_expect_error(Refusal::UserBanned);
    let holds = [Hold::RoleLoss, Hold::Policy].map(|hold| Event::Suspended { hold, at: START });
    assert_eq!(refusal(&plain, &holds), Refusal::Suspended { hold: Hold::Policy });
    assert_eq!(refusal(&thirty_days(|_| {}), &[]), Refusal::Expired { at: day(30) });
    assert_eq!(refusal(&terms(|terms| terms.require_owner = true), &[]), Refusal::NotAssigned);
    let mut later = generate(&plain);
    later.starts_at = Some(day(41));
    when(&made(&later), day(40), activate(1, "pc"))
        .then_expect_error(Refusal::NotYetValid { starts_at: day(41) });
    when(&made(&later), day(41), activate(1, "pc")).then_expect_events(vec![activated(1, "pc", day(41))]);
}

#[test]
fn codes_named_in_the_interface_are_fixed() {
    let codes: Vec<&str> = every_refusal().iter().map(Refuse::code).collect();
    for code in [
        "ALREADY_ASSIGNED",
        "NOT_EXPIRING",
        "NOT_STARTED",
        "ROLE_BOUND",
        "DEVICES_IN_USE",
        "DEVICE_LIMIT_REACHED",
        "REKEY_LIMIT",
        "USER_BANNED",
        "REVOKED",
        "SUSPENDED",
        "NOT_YET_VALID",
        "EXPIRED",
        "NOT_ASSIGNED",
        "DEVICE_NOT_ACTIVATED",
    ] {
        assert!(codes.contains(&code), "{code}");
    }
    assert_eq!(Refusal::ComponentsMismatch.to_string(), "components");
}
