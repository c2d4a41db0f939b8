//! Who is let through by which door, as a table.

use super::*;

const HERE: GuildId = GuildId(1);
const ELSEWHERE: GuildId = GuildId(2);

fn person(letter: u8) -> Pseudonym {
    format!("u_{}", String::from(char::from(b'a' + letter)).repeat(26)).parse().unwrap()
}

fn ranked(guild: GuildId, rank: StaffRole) -> Held {
    Held { account: Some(person(1)), ranks: vec![(guild, rank)], ..Held::default() }
}

fn on_platform(role: PlatformRole) -> Held {
    Held { account: Some(person(1)), platform: Some(role), ..Held::default() }
}

fn key(guild: GuildId, scopes: &[Scope]) -> Held {
    Held { key: Some((guild, scopes.to_vec())), ..Held::default() }
}

fn meets(held: &Held, need: &Need, owner: Option<&Pseudonym>) -> bool {
    Rights::Held(held.clone()).check(need, About { guild: Some(HERE), owner }).is_ok()
}

#[test]
fn a_rank_counts_in_its_guild_and_as_the_table_says() {
    for permission in Permission::ALL {
        let need = Need::Staff(permission);
        for rank in [StaffRole::Auditor, StaffRole::Moderator, StaffRole::Admin, StaffRole::Owner] {
            assert_eq!(
                meets(&ranked(HERE, rank), &need, None),
                permission.is_of_rank(rank),
                "{permission:?} {rank:?}"
            );
            assert!(
                !meets(&ranked(ELSEWHERE, rank), &need, None),
                "{permission:?} {rank:?} of another guild"
            );
        }
        for role in PlatformRole::ALL {
            assert_eq!(
                meets(&on_platform(role), &need, None),
                permission.is_of_platform(role),
                "{permission:?} {role}"
            );
        }
        for scope in Scope::ALL {
            let gives = permission.given_by().scope == Some(scope);
            assert_eq!(meets(&key(HERE, &[scope]), &need, None), gives, "{permission:?} {scope:?}");
            assert!(
                !meets(&key(ELSEWHERE, &[scope]), &need, None),
                "{permission:?} {scope:?} of another guild"
            );
        }
    }
}

#[test]
fn an_owner_has_what_the_table_gives_owners_and_is_no_staff() {
    let owner = person(1);
    let held = Held { account: Some(owner.clone()), ..Held::default() };
    for permission in Permission::ALL {
        let need = [permission];
        let need = Need::Any(Box::leak(Box::new(need)));
        assert_eq!(meets(&held, &need, Some(&owner)), permission.given_by().owner, "{permission:?}");
        assert!(!meets(&held, &need, Some(&person(2))), "{permission:?} of another one's license");
        assert!(!meets(&held, &need, None), "{permission:?} of nobody's license");
        assert!(!meets(&held, &Need::Staff(permission), Some(&owner)), "{permission:?} as staff");
    }
}

#[test]
fn a_key_holder_shows_the_scope_or_is_the_owner() {
    let owner = person(1);
    let need = Need::Key(Scope::Activate);
    assert!(meets(&key(HERE, &[Scope::Activate]), &need, Some(&owner)));
    assert!(!meets(&key(HERE, &[Scope::Validate]), &need, Some(&owner)));
    assert!(!meets(&key(ELSEWHERE, &[Scope::Activate]), &need, Some(&owner)));
    assert!(meets(&Held { account: Some(owner.clone()), ..Held::default() }, &need, Some(&owner)));
    // Nobody is not the owner of what nobody owns.
    assert!(!meets(&Held::default(), &need, None));
}

#[test]
fn a_person_acts_for_himself() {
    let need = Need::Person(Some(person(1)), &[Permission::Ban]);
    assert!(meets(&Held { account: Some(person(1)), ..Held::default() }, &need, None));
    assert!(!meets(&Held { account: Some(person(2)), ..Held::default() }, &need, None));
    assert!(meets(&Held { account: Some(person(2)), ..on_platform(PlatformRole::Admin) }, &need, None));
    assert!(!meets(&Held::default(), &Need::Person(None, &[]), None), "nobody is not nobody in particular");
}

#[test]
fn what_the_program_does_nobody_else_does() {
    for held in [ranked(HERE, StaffRole::Owner), on_platform(PlatformRole::Owner), key(HERE, &Scope::ALL)] {
        assert!(!meets(&held, &Need::Program, None), "{held:?}");
        assert!(meets(&held, &Need::Nothing, None));
    }
    assert!(Rights::Everything.check(&Need::Program, About::default()).is_ok());
    let refused = Rights::Held(Held::default()).check(&Need::Program, About::default());
    assert_eq!(refused, Err(CommandError::Forbidden));
}
