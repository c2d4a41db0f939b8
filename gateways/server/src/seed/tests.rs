//! The story must name people, roles and types that exist, in the order of time.

use super::cast::{MEMBERS, ROLES, member, role};
use super::script::{LENGTH, Step, Which, script};

#[test]
fn the_script_names_only_people_and_roles_of_the_cast() {
    for (_, step) in script() {
        let mut names: Vec<&str> = Vec::new();
        match &step {
            Step::Observe(name, roles) => {
                names.push(name);
                assert!(
                    roles.iter().all(|wanted| ROLES.iter().any(|(known, _)| known == wanted)),
                    "{step:?}"
                );
            }
            Step::Staff(name, _) | Step::Meet(name) | Step::MemberDue(name) | Step::Redeem(_, name) => {
                names.push(name);
            }
            Step::Make(_, _, Some(name)) => names.push(name),
            Step::Activate(Which::Role(name, ..), ..) | Step::Free(Which::Role(name, ..), _) => {
                names.push(name);
            }
            _ => {}
        }
        assert!(names.iter().all(|name| MEMBERS.contains(name)), "{step:?}");
    }
}

#[test]
fn the_script_is_sorted_and_lasts_ninety_days() {
    let steps = script();
    assert!(steps.is_sorted_by_key(|(minutes, _)| *minutes));
    assert!(steps.iter().all(|(minutes, _)| (0..LENGTH.ms() / 60_000).contains(minutes)));
}

#[test]
fn ids_of_the_cast_never_change() {
    assert_eq!(member("grace").to_string(), "871000000000002001");
    assert_eq!(member("ada").to_string(), "871000000000002002");
    assert_eq!(role("Pro").to_string(), "871000000000001001");
    assert_eq!(role("Team").to_string(), "871000000000001002");
    assert_eq!(super::cast::made(1).to_string(), "de300000-0000-4000-8000-000000000001");
}
