//! The table in sentences: a higher rank may whatever a lower one may, and nothing is given twice over.

use super::*;

const RANKS: [StaffRole; 4] = [StaffRole::Auditor, StaffRole::Moderator, StaffRole::Admin, StaffRole::Owner];

#[test]
fn a_higher_rank_has_every_permission_of_the_lower_one() {
    for pair in RANKS.windows(2) {
        assert!(pair[0] < pair[1]);
        assert!(Permissions::of_rank(pair[1]).includes(Permissions::of_rank(pair[0])), "{pair:?}");
    }
    for pair in PlatformRole::ALL.windows(2) {
        assert!(pair[0] < pair[1]);
        assert!(Permissions::of_platform(pair[1]).includes(Permissions::of_platform(pair[0])), "{pair:?}");
    }
}

#[test]
fn a_role_on_the_platform_has_in_every_guild_what_its_rank_has() {
    for role in PlatformRole::ALL {
        assert!(Permissions::of_platform(role).includes(Permissions::of_rank(role.rank())), "{role}");
    }
    // And no rank of a guild reaches beyond it.
    for permission in Permission::ALL.into_iter().filter(|permission| permission.given_by().rank.is_none()) {
        assert!(RANKS.iter().all(|rank| !permission.is_of_rank(*rank)), "{permission:?}");
    }
}

#[test]
fn owners_of_the_platform_may_everything_and_auditors_change_nothing() {
    assert_eq!(Permissions::of_platform(PlatformRole::Owner), Permissions::of(|_| true));
    let reads = [
        Permission::Read,
        Permission::Audit,
        Permission::Events,
        Permission::Checkpoints,
        Permission::Prove,
        Permission::Users,
    ];
    assert_eq!(Permissions::of_platform(PlatformRole::Auditor), Permissions::of(|one| reads.contains(&one)));
    assert!(!Permissions::of_platform(PlatformRole::Admin).has(Permission::PlatformRoles));
}

#[test]
fn no_key_gives_credentials_or_touches_people() {
    let any = Permissions::of_scopes(|_| true);
    for permission in [
        Permission::Credentials,
        Permission::Users,
        Permission::Ban,
        Permission::Erase,
        Permission::PlatformRoles,
    ] {
        assert!(!any.has(permission), "{permission:?}");
    }
    // The scopes of publishable keys give nothing of staff.
    let publishable = [Scope::Validate, Scope::Activate, Scope::Heartbeat, Scope::Deactivate];
    assert_eq!(Permissions::of_scopes(|scope| publishable.contains(&scope)), Permissions::NONE);
}

#[test]
fn the_owner_of_a_license_may_five_things_with_it() {
    let own = [
        Permission::Read,
        Permission::Devices,
        Permission::Certify,
        Permission::Transfer,
        Permission::RevealOne,
    ];
    assert_eq!(Permissions::of_owner(), Permissions::of(|one| own.contains(&one)));
    assert!(!Permissions::of_owner().and(Permissions::of_rank(StaffRole::Moderator)).has(Permission::Manage));
}
