//! A random but repeatable course of events over all aggregates, made by the aggregates' own `decide`.

use std::collections::BTreeMap;

use domain::aggregate::Decide;
use domain::device::DeviceClaim;
use domain::guild::Guild;
use domain::id::{GuildId, LicenseId, SessionId, StreamId};
use domain::license::{
    Action, AssignedHow, Authority, Command, DeactivationCause, Generate, Hold, Ledger, License, RenewTo,
    RevokeCategory,
};
use domain::member;
use domain::platform::{self, Platform, PlatformRole};
use domain::private::Subject;
use domain::session::{self, How, Session, Surface};
use domain::terms::Terms;
use domain::time::{Span, Timestamp};
use domain::user::{self, User};
use uuid::Uuid;

use crate::world::{NOW, New, World, license_id, person, pseudonym};

pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

pub(crate) struct Mix {
    pub(crate) rng: Rng,
    pub(crate) now: Timestamp,
    licenses: BTreeMap<LicenseId, License>,
    users: BTreeMap<u64, User>,
    guilds: BTreeMap<u64, Guild>,
    members: BTreeMap<(u64, u64), u32>,
    sessions: BTreeMap<SessionId, Session>,
    platform: Platform,
    made: u128,
}

const USERS: u64 = 30;
const GUILDS: u64 = 3;

impl Mix {
    pub(crate) fn new(seed: u64) -> Self {
        let (licenses, users, guilds, members, sessions) = Default::default();
        let (rng, platform) = (Rng(seed | 1), Platform::default());
        Self { rng, now: NOW, licenses, users, guilds, members, sessions, platform, made: 0 }
    }

    /// Appends about `count` events in batches of random size.
    pub(crate) async fn run(&mut self, world: &World, count: usize) {
        let mut appended = 0;
        while appended < count {
            let mut batch = Vec::new();
            for _ in 0..=self.rng.below(20) {
                batch.extend(self.next(world));
            }
            appended += batch.len();
            if !batch.is_empty() {
                world.append(batch).await;
            }
        }
    }

    fn next(&mut self, world: &World) -> Vec<New> {
        self.now = self.now.after(Span(self.rng.below(90_000) as i64));
        match self.rng.below(21) {
            20 => self.session().into_iter().chain(self.platform()).collect(),
            0..=2 => self.generate(),
            3..=14 => self.license(),
            15..=16 => self.user(world),
            17 => self.guild(),
            _ => self.member(),
        }
    }

    /// Somebody signs in, or a session ends.
    fn session(&mut self) -> Vec<New> {
        let begins = self.sessions.is_empty() || self.rng.below(3) > 0;
        let nth = self.rng.below(self.sessions.len().max(1) as u64) as usize;
        let (id, action) = if begins {
            let id = SessionId(Uuid::from_u64_pair(self.rng.below(u64::MAX), self.rng.below(u64::MAX)));
            let person = person(1 + self.rng.below(USERS));
            let client = Some("a browser".to_owned());
            let until = self.now.after(Span::hours(720));
            (id, session::Action::Start { id, person, surface: Surface::Browser, client, until })
        } else {
            let id = *self.sessions.keys().nth(nth).unwrap();
            let how = if self.rng.below(2) == 0 { How::SignedOut } else { How::TokenReused };
            (id, session::Action::End(how))
        };
        let session = self.sessions.entry(id).or_default();
        let events = session.decide(&session::Command { now: self.now, action }).unwrap();
        events.iter().for_each(|event| session.evolve(event));
        let new = |event: session::Event| New {
            stream: StreamId::session(id),
            guild: None,
            event: event.into(),
            reason: None,
        };
        events.into_iter().map(new).collect()
    }

    /// People get platform roles in turn, and lose them when it is their turn again.
    fn platform(&mut self) -> Vec<New> {
        let user = pseudonym(1 + self.platform.version % 7);
        let role = match self.platform.role(&user) {
            Some(_) => None,
            None => Some(PlatformRole::ALL[self.platform.version as usize % 3]),
        };
        let event = platform::Event::RoleChanged { user, role, at: self.now };
        self.platform.evolve(&event);
        vec![New { stream: StreamId::platform(), guild: None, event: event.into(), reason: None }]
    }

    fn generate(&mut self) -> Vec<New> {
        self.made += 1;
        let id = license_id(self.made);
        let owner =
            (self.rng.below(2) == 0).then(|| (person(1 + self.rng.below(USERS)), AssignedHow::Assign));
        let terms = Terms {
            max_devices: Some(3),
            duration: Some(Span::hours(1 + self.rng.below(20) as i64)),
            expiry_grace: (self.rng.below(2) == 0).then_some(Span::hours(2)),
            transferable: true,
            offline_lease_max: Some(Span::hours(1)),
            role_loss_grace: Some(Span::hours(1)),
            ..Terms::default()
        };
        let generate = Generate {
            id,
            guild: GuildId(1 + self.rng.below(GUILDS)),
            license_type: ["pro", "basic"][self.rng.below(2) as usize].to_owned(),
            terms,
            key: domain::key::KeyVersion { secret_id: 1, version: 0 },
            slot: None,
            owner,
            starts_at: None,
            ledger: Ledger::default(),
            metadata: Some("{\"a\":1}".to_owned()),
            private_metadata: Some("{\"b\":2}".to_owned()),
            aliases: vec![format!("{0:032x}{0:032x}", id.0.as_u128())],
        };
        self.licenses.insert(id, License::default());
        self.decide(id, Action::Generate(Box::new(generate)))
    }

    fn decide(&mut self, id: LicenseId, action: Action) -> Vec<New> {
        let license = self.licenses.get_mut(&id).unwrap();
        let Ok(events) = license.decide(&Command { now: self.now, action }) else { return Vec::new() };
        events.iter().for_each(|event| license.evolve(event));
        let guild = license.guild;
        let new = |event: domain::license::Event| New {
            stream: StreamId::license(id),
            guild,
            event: event.into(),
            reason: Some("because".to_owned()),
        };
        events.into_iter().map(new).collect()
    }

    fn license(&mut self) -> Vec<New> {
        if self.licenses.is_empty() {
            return Vec::new();
        }
        let nth = self.rng.below(self.licenses.len() as u64) as usize;
        let id = *self.licenses.keys().nth(nth).unwrap();
        let device = format!("d{}", self.rng.below(5));
        let claim = DeviceClaim { device_id: device.clone(), components: Vec::new() };
        let someone = person(1 + self.rng.below(USERS));
        let uuid = Uuid::from_u64_pair(self.rng.below(u64::MAX), self.rng.below(u64::MAX));
        let action = match self.rng.below(24) {
            0 => Action::Assign { owner: someone, how: AssignedHow::Assign },
            1..=5 => Action::ActivateDevice {
                id: uuid,
                claim,
                name: Some("Laptop".to_owned()),
                by: Authority::Client,
                network: None,
                owner_banned: false,
            },
            6 => {
                Action::DeactivateDevice { device, by: Authority::Staff, cause: DeactivationCause::Requested }
            }
            7 => Action::RenameDevice { device, name: "Tower".to_owned() },
            8 => Action::ResetDevices { by: Authority::Staff },
            9 => Action::RecordFirstValidation { validated_at: self.now },
            10 => Action::Suspend { hold: Hold::Admin },
            11 => Action::Resume { hold: Hold::Admin },
            12..=13 => Action::Settle { announce_ahead: Some(Span::hours(1)) },
            14 => Action::Renew { to: RenewTo::Default, external_ref: Some("pay".to_owned()) },
            15 => Action::Transfer { to: someone, secret_id: 1 },
            16 => Action::OfferTransfer { to: someone },
            17 => Action::ChangeMetadata {
                metadata: Some(Some("{\"c\":3}".to_owned())),
                private_metadata: None,
            },
            18 => Action::IssueLease { id: uuid, claim, ttl: None, owner_banned: false },
            19 => Action::StartRoleLoss,
            20 => Action::EndRoleLoss,
            21 => Action::Rekey { secret_id: 1 },
            22 => {
                Action::RecordDelivery { channel: "dm".to_owned(), key: domain::key::KeyVersion::default() }
            }
            _ if self.rng.below(4) == 0 => Action::Revoke { category: RevokeCategory::Manual },
            _ => Action::ResetDevices { by: Authority::Job },
        };
        self.decide(id, action)
    }

    fn user(&mut self, world: &World) -> Vec<New> {
        let n = 1 + self.rng.below(USERS);
        let user = self.users.entry(n).or_default();
        let action = match self.rng.below(12) {
            0..=4 => user::Action::Register { person: person(n) },
            5..=7 => user::Action::ChangeProfile {
                username: Some(format!("name{n}")),
                email: n.is_multiple_of(2).then(|| format!("u{n}@example.org")),
            },
            8 => user::Action::Ban,
            9..=10 => user::Action::Unban,
            _ => user::Action::Erase,
        };
        let erases = action == user::Action::Erase;
        let Ok(events) = user.decide(&user::Command { now: self.now, action }) else { return Vec::new() };
        if erases && !events.is_empty() {
            world.vault.erase(&Subject::User(pseudonym(n)));
        }
        events.iter().for_each(|event| user.evolve(event));
        let new = |event: user::Event| New {
            stream: StreamId::user(&pseudonym(n)),
            guild: None,
            event: event.into(),
            reason: None,
        };
        events.into_iter().map(new).collect()
    }

    fn guild(&mut self) -> Vec<New> {
        use domain::guild::Event;
        let n = 1 + self.rng.below(GUILDS);
        let at = self.now;
        let guild = self.guilds.entry(n).or_default();
        let event = if guild.version == 0 {
            Event::Registered {
                guild_id: GuildId(n),
                name: format!("Guild {n}"),
                owner: person(n),
                watched_roles: Default::default(),
                at,
            }
        } else {
            match self.rng.below(5) {
                0 => Event::StaffChanged {
                    person: person(1 + self.rng.below(USERS)),
                    role: Some(domain::guild::StaffRole::Moderator),
                    at,
                },
                1 => Event::LicenseTypeDefined {
                    slug: "pro".to_owned(),
                    name: "Pro".to_owned(),
                    terms: Terms::default(),
                    at,
                },
                2 => Event::WebhookAdded {
                    webhook_id: Uuid::from_u64_pair(1, self.rng.below(u64::MAX)),
                    url: domain::private::Private::of_guild(GuildId(n), "https://example.org/hook?token=x"),
                    events: vec!["*".to_owned()],
                    secret_version: 1,
                    asymmetric: false,
                    at,
                },
                3 => Event::Left { at },
                _ => Event::Rejoined { at },
            }
        };
        guild.evolve(&event);
        vec![New {
            stream: StreamId::guild(GuildId(n)),
            guild: Some(GuildId(n)),
            event: event.into(),
            reason: None,
        }]
    }

    fn member(&mut self) -> Vec<New> {
        use member::Event;
        let (guild, user) = (1 + self.rng.below(GUILDS), 1 + self.rng.below(USERS));
        let at = self.now;
        let known = self.members.entry((guild, user)).or_default();
        *known += 1;
        let event = match *known {
            1 => Event::Joined { guild_id: GuildId(guild), person: person(user), at },
            known if known % 3 == 0 => Event::Left { at },
            known if known % 3 == 1 => Event::Rejoined { at },
            _ => Event::RolesChanged {
                roles: [domain::id::RoleId(5)].into(),
                added: [domain::id::RoleId(5)].into(),
                removed: Default::default(),
                observed_at: at,
                at,
            },
        };
        let stream = StreamId::member(GuildId(guild), &pseudonym(user));
        vec![New { stream, guild: Some(GuildId(guild)), event: event.into(), reason: None }]
    }
}
