//! Ninety days of Northwind Games, told as commands: who got which role when, which device was activated, what
//! expired, what was revoked and why. The script decides nothing; the rules do when it is played.

use std::ops::RangeInclusive;

use domain::guild::StaffRole;
use domain::license::{Hold, RenewTo, RevokeCategory};
use domain::time::Span;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The server, its types, rules, key and settings.
    Open(Opening),
    /// A member of staff is named.
    Staff(&'static str, StaffRole),
    /// An account shows its name.
    Meet(&'static str),
    /// A member's roles are seen.
    Observe(&'static str, &'static [&'static str]),
    /// A role-loss grace may have ended.
    MemberDue(&'static str),
    /// Licenses that no role gives are made: their numbers and their type.
    Make(RangeInclusive<u16>, &'static str, Option<&'static str>),
    /// One of those gets an owner, who had its key.
    Redeem(Which, &'static str),
    /// A device is activated: its id and what its owner calls it.
    Activate(Which, &'static str, &'static str),
    /// The first valid answer was given.
    Validated(Which),
    /// The owner frees a device.
    Free(Which, &'static str),
    /// What the clock has done goes into the log.
    Settle(Which),
    /// Staff hold it, and say why.
    Suspend(Which, Hold, &'static str),
    /// Its end moves.
    Renew(Which, RenewTo, &'static str),
    /// It ends for good, and staff say why.
    Revoke(Which, RevokeCategory, &'static str),
}

/// The parts of the opening, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Opening {
    /// The server itself.
    Register,
    /// Its settings.
    Settings,
    /// A type: perpetual, two devices.
    ProType,
    /// A type: thirty days, five devices.
    TeamType,
    /// A type: fourteen days from the first use.
    TrialType,
    /// A type: a year, any number of devices.
    StudioType,
    /// The role Pro gives `pro`.
    ProRule,
    /// The role Team gives `team`.
    TeamRule,
    /// The key of the game client.
    ClientKey,
}

/// Which license.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// That of a member's role: name, type, generation.
    Role(&'static str, &'static str, u32),
    /// The n-th of those that no role gave.
    Made(u16),
}

/// A step, and how many minutes after the beginning it happens.
pub(crate) type Timed = (i64, Step);

/// How long the story is.
pub(crate) const LENGTH: Span = Span::days(90);

const fn day(day: i64) -> i64 {
    day * 24 * 60
}

const fn pro(name: &'static str) -> Which {
    Which::Role(name, "pro", 1)
}

const fn team(name: &'static str) -> Which {
    Which::Role(name, "team", 1)
}

/// The story, in the order of time.
pub(crate) fn script() -> Vec<Timed> {
    let mut steps = Vec::new();
    opening(&mut steps);
    pro_members(&mut steps);
    pro_changes(&mut steps);
    team_members(&mut steps);
    sold(&mut steps);
    steps.sort_by_key(|(minutes, _)| *minutes);
    steps
}

fn opening(steps: &mut Vec<Timed>) {
    use Opening::{
        ClientKey, ProRule, ProType, Register, Settings, StudioType, TeamRule, TeamType, TrialType,
    };
    let parts = [Register, Settings, ProType, TeamType, TrialType, StudioType, ProRule, TeamRule, ClientKey];
    steps.extend(parts.into_iter().enumerate().map(|(minute, part)| (minute as i64, Step::Open(part))));
    steps.extend(super::cast::MEMBERS.iter().map(|name| (20, Step::Meet(name))));
    steps.push((25, Step::Observe(super::cast::OWNER, &["Admin"])));
    steps.push((day(3), Step::Staff("katherine", StaffRole::Moderator)));
    steps.push((day(4), Step::Staff("hedy", StaffRole::Auditor)));
}

/// Id of a device, and what its owner calls it.
type Called = (&'static str, &'static str);

/// Members with the role Pro: since which day, and the devices that they activated a day later.
const PRO: [(&str, i64, &[Called]); 11] = [
    (
        super::cast::BANNER_MEMBER,
        1,
        &[(super::cast::BANNER_DEVICE, "Workstation"), ("linus-laptop", "Laptop")],
    ),
    ("barbara", 2, &[("barbara-desk", "Desk"), ("barbara-deck", "Deck")]),
    ("edsger", 5, &[("edsger-tower", "Tower")]),
    ("donald", 9, &[("donald-desk", "Desk")]),
    ("katherine", 12, &[("katherine-desk", "Desk"), ("katherine-laptop", "Laptop")]),
    ("dennis", 20, &[]),
    ("radia", 28, &[("radia-rack", "Rack")]),
    ("ken", 41, &[("ken-desk", "Desk")]),
    ("frances", 55, &[("frances-laptop", "Laptop")]),
    ("john", 70, &[("john-desk", "Desk")]),
    ("tim", 86, &[("tim-laptop", "Laptop")]),
];

fn pro_members(steps: &mut Vec<Timed>) {
    for (name, since, devices) in PRO {
        steps.push((day(since) + 600, Step::Observe(name, &["Pro"])));
        for (minute, (id, called)) in devices.iter().enumerate() {
            steps.push((day(since + 1) + 30 * minute as i64, Step::Activate(pro(name), id, called)));
        }
        // Ken has a device and never started the program.
        if !devices.is_empty() && name != "ken" {
            steps.push((day(since + 1) + 90, Step::Validated(pro(name))));
        }
    }
}

fn pro_changes(steps: &mut Vec<Timed>) {
    let second = Which::Role("donald", "pro", 2);
    steps.extend([
        (day(33), Step::Free(pro("barbara"), "barbara-deck")),
        (day(33) + 5, Step::Activate(pro("barbara"), "barbara-tablet", "Tablet")),
        (day(40), Step::Revoke(pro("edsger"), RevokeCategory::Refund, "Refund of order 1138")),
        (day(60), Step::Observe("donald", &[])),
        (day(66), Step::Observe("donald", &["Pro"])),
        (day(66) + 30, Step::Activate(second, "donald-desk", "Desk")),
        (day(66) + 45, Step::Validated(second)),
        (day(77), Step::Suspend(pro("frances"), Hold::Admin, "The payment is being disputed")),
    ]);
}

fn team_members(steps: &mut Vec<Timed>) {
    for (name, since) in [("alan", 15), ("joan", 50), ("niklaus", 62), ("seymour", 64), ("adele", 75)] {
        steps.push((day(since), Step::Observe(name, &["Team"])));
    }
    for (name, since, device) in [
        ("alan", 15, "alan-build-server"),
        ("joan", 50, "joan-desk"),
        ("niklaus", 62, "niklaus-laptop"),
        ("seymour", 64, "seymour-desk"),
    ] {
        steps.push((day(since + 1), Step::Activate(team(name), device, "Team machine")));
        steps.push((day(since + 1) + 10, Step::Validated(team(name))));
    }
    let sixty_days = RenewTo::For(Span::days(60));
    steps.extend([
        (day(38), Step::Settle(team("alan"))),
        (day(45), Step::Settle(team("alan"))),
        (day(46), Step::Renew(team("alan"), RenewTo::Default, "order-2001")),
        (day(47), Step::Validated(team("alan"))),
        (day(69), Step::Settle(team("alan"))),
        (day(76), Step::Settle(team("alan"))),
        (day(79), Step::Renew(team("alan"), sixty_days, "order-2047")),
        (day(73), Step::Settle(team("joan"))),
        (day(80), Step::Settle(team("joan"))),
        (day(83), Step::Observe("niklaus", &[])),
        (day(83) + 60, Step::MemberDue("niklaus")),
        (day(85), Step::Settle(team("niklaus"))),
        (day(87), Step::Settle(team("seymour"))),
    ]);
}

/// Licenses that no role gives: a studio's, trials that were given away, and a batch for a festival.
fn sold(steps: &mut Vec<Timed>) {
    let studio = Which::Made(1);
    let (used, fresh, over) = (Which::Made(10), Which::Made(11), Which::Made(12));
    steps.extend([
        (day(8), Step::Make(1..=2, "studio", Some("radia"))),
        (day(8) + 30, Step::Activate(studio, "studio-farm-1", "Render farm 1")),
        (day(8) + 35, Step::Activate(studio, "studio-farm-2", "Render farm 2")),
        (day(8) + 40, Step::Validated(studio)),
        (day(30), Step::Make(10..=15, "trial", None)),
        (day(31), Step::Redeem(over, "tim")),
        (day(31) + 10, Step::Activate(over, "tim-laptop", "Laptop")),
        (day(31) + 12, Step::Validated(over)),
        (day(48) + 15, Step::Settle(over)),
        (day(82), Step::Redeem(used, "dennis")),
        (day(82) + 10, Step::Activate(used, "dennis-desk", "Desk")),
        (day(82) + 12, Step::Validated(used)),
        (day(89) + 15, Step::Settle(used)),
        (day(84), Step::Redeem(fresh, "john")),
        (
            day(85),
            Step::Revoke(Which::Made(15), RevokeCategory::Leaked, "The key was posted in a public channel"),
        ),
        (day(65), Step::Make(100..=115, "trial", None)),
    ]);
}
