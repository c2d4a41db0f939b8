//! The read models as the runner and the rebuild see them: a closed set, matched here and nowhere else. It says what
//! a batch changes in each; it writes nothing.

use std::sync::OnceLock;

use domain::event::{Recorded, StoredEvent, Unreadable};
use domain::ports::Vault;

use crate::alias_view;
use crate::audit_trail;
use crate::db::{Rows, Table};
use crate::error::QueryError;
use crate::guild_view::GuildView;
use crate::license_view::LicenseView;
use crate::member_view::MemberView;
use crate::parked::{Known, Parked};
use crate::platform_view::PlatformView;
use crate::session_view::SessionView;
use crate::user_view::UserView;
use crate::view::{Erasures, Fold, Sources, View};

/// An event of a batch: understood at most once, by the first read model that needs it.
pub(crate) struct Entry {
    pub(crate) stored: StoredEvent,
    read: OnceLock<Result<Box<Recorded>, Unreadable>>,
}

impl Entry {
    pub(crate) fn new(stored: StoredEvent) -> Self {
        Self { stored, read: OnceLock::new() }
    }

    pub(crate) fn read(&self) -> Result<&Recorded, QueryError> {
        match self.read.get_or_init(|| self.stored.read().map(Box::new)) {
            Ok(recorded) => Ok(recorded),
            Err(unreadable) => Err(unreadable.clone().into()),
        }
    }
}

/// A read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Model {
    License,
    Guild,
    Member,
    User,
    Session,
    Platform,
    AuditTrail,
    Alias,
}

/// The names of all read models, for messages.
pub(crate) fn names() -> String {
    Model::ALL.map(Model::name).join(", ")
}

impl Model {
    pub(crate) const ALL: [Self; 8] = [
        Self::License,
        Self::Guild,
        Self::Member,
        Self::User,
        Self::Session,
        Self::Platform,
        Self::AuditTrail,
        Self::Alias,
    ];

    pub(crate) fn named(name: &str) -> Result<Self, QueryError> {
        let found = Self::ALL.into_iter().find(|model| model.name() == name);
        found.ok_or_else(|| QueryError::UnknownModel(name.chars().take(64).collect()))
    }

    pub(crate) fn table(self) -> &'static Table {
        match self {
            Self::License => LicenseView::TABLE,
            Self::Guild => GuildView::TABLE,
            Self::Member => MemberView::TABLE,
            Self::User => UserView::TABLE,
            Self::Session => SessionView::TABLE,
            Self::Platform => PlatformView::TABLE,
            Self::AuditTrail => &audit_trail::TABLE,
            Self::Alias => &alias_view::TABLE,
        }
    }

    /// Its name, which is that of its table and of its checkpoint.
    pub(crate) fn name(self) -> &'static str {
        self.table().name
    }

    /// Whether it needs this event understood, and not only listed.
    pub(crate) fn reads(self, kind: domain::id::Kind) -> bool {
        use domain::id::Kind;
        match self {
            Self::License => kind == Kind::License,
            Self::Guild => kind == Kind::Guild,
            Self::Member => kind == Kind::Member,
            Self::User => kind == Kind::User,
            Self::Session => kind == Kind::Session,
            Self::Platform => kind == Kind::Platform,
            Self::AuditTrail | Self::Alias => false,
        }
    }

    /// What `entries` change in the live table, which leaves out what is `known`.
    pub(crate) async fn prepare(
        self,
        sources: Sources<'_>,
        entries: &[Entry],
        known: &Known,
    ) -> Result<Prepared, QueryError> {
        let known = known.of(self);
        match self {
            Self::License => {
                prepare(Fold::<LicenseView>::without(self.name(), known), sources, entries).await
            }
            Self::Guild => prepare(Fold::<GuildView>::without(self.name(), known), sources, entries).await,
            Self::Member => prepare(Fold::<MemberView>::without(self.name(), known), sources, entries).await,
            Self::User => prepare(Fold::<UserView>::without(self.name(), known), sources, entries).await,
            Self::Session => {
                prepare(Fold::<SessionView>::without(self.name(), known), sources, entries).await
            }
            Self::Platform => {
                prepare(Fold::<PlatformView>::without(self.name(), known), sources, entries).await
            }
            Self::AuditTrail => Ok(Prepared::lines(audit_trail::rows(entries, self.name()))),
            Self::Alias => Ok(Prepared::lines(alias_view::rows(entries, self.name()))),
        }
    }

    /// The statement that finds rows with a field sealed for a person, if this model has such.
    pub(crate) fn of_subject(self) -> Option<&'static str> {
        match self {
            Self::License => Some(LicenseView::OF_SUBJECT),
            Self::Guild => Some(GuildView::OF_SUBJECT),
            Self::Member => Some(MemberView::OF_SUBJECT),
            Self::User => Some(UserView::OF_SUBJECT),
            Self::Session => Some(SessionView::OF_SUBJECT),
            Self::Platform => Some(PlatformView::OF_SUBJECT),
            Self::AuditTrail | Self::Alias => None,
        }
    }
}

/// What a batch changes in a read model.
pub(crate) struct Prepared {
    pub(crate) rows: Vec<Rows>,
    /// Aggregates that are left out from here on.
    pub(crate) parked: Vec<Parked>,
}

impl Prepared {
    fn lines((rows, parked): (Rows, Vec<Parked>)) -> Self {
        Self { rows: vec![rows], parked }
    }
}

/// Makes the rows of a batch for the table of this name, in a read model that has a row an event and folds nothing.
type Lines = fn(&[Entry], &str) -> (Rows, Vec<Parked>);

async fn prepare<V: View>(
    mut fold: Fold<V>,
    sources: Sources<'_>,
    entries: &[Entry],
) -> Result<Prepared, QueryError> {
    fold.apply(sources, entries, Erasures::Render).await?;
    let mut rows = Vec::new();
    while let Some(some) = fold.render(sources.vault).await? {
        rows.push(some);
    }
    Ok(Prepared { rows, parked: fold.take_parked() })
}

/// A read model under construction in a table of another name.
pub(crate) enum Builder {
    License(Fold<LicenseView>),
    Guild(Fold<GuildView>),
    Member(Fold<MemberView>),
    User(Fold<UserView>),
    Session(Fold<SessionView>),
    Platform(Fold<PlatformView>),
    Lines { lines: Lines, target: String, rows: Vec<Rows>, parked: Vec<Parked> },
}

impl Builder {
    pub(crate) fn new(model: Model, target: &str) -> Self {
        match model {
            Model::License => Self::License(Fold::new(target)),
            Model::Guild => Self::Guild(Fold::new(target)),
            Model::Member => Self::Member(Fold::new(target)),
            Model::User => Self::User(Fold::new(target)),
            Model::Session => Self::Session(Fold::new(target)),
            Model::Platform => Self::Platform(Fold::new(target)),
            Model::AuditTrail => Self::lines(audit_trail::rows, target),
            Model::Alias => Self::lines(alias_view::rows, target),
        }
    }

    fn lines(lines: Lines, target: &str) -> Self {
        Self::Lines { lines, target: target.to_owned(), rows: Vec::new(), parked: Vec::new() }
    }

    pub(crate) async fn apply(
        &mut self,
        sources: Sources<'_>,
        entries: &[Entry],
        erasures: Erasures,
    ) -> Result<(), QueryError> {
        match self {
            Self::License(fold) => fold.apply(sources, entries, erasures).await,
            Self::Guild(fold) => fold.apply(sources, entries, erasures).await,
            Self::Member(fold) => fold.apply(sources, entries, erasures).await,
            Self::User(fold) => fold.apply(sources, entries, erasures).await,
            Self::Session(fold) => fold.apply(sources, entries, erasures).await,
            Self::Platform(fold) => fold.apply(sources, entries, erasures).await,
            Self::Lines { lines, target, rows, parked } => {
                let (some, left_out) = lines(entries, target);
                rows.extend(Some(some).filter(|some| !some.is_empty()));
                parked.extend(left_out);
                Ok(())
            }
        }
    }

    /// Rows that are to be written, a part at a time.
    pub(crate) async fn render(&mut self, vault: &dyn Vault) -> Result<Option<Rows>, QueryError> {
        match self {
            Self::License(fold) => fold.render(vault).await,
            Self::Guild(fold) => fold.render(vault).await,
            Self::Member(fold) => fold.render(vault).await,
            Self::User(fold) => fold.render(vault).await,
            Self::Session(fold) => fold.render(vault).await,
            Self::Platform(fold) => fold.render(vault).await,
            Self::Lines { rows, .. } => Ok(rows.pop()),
        }
    }

    /// The aggregates that were left out since this was last asked.
    pub(crate) fn take_parked(&mut self) -> Vec<Parked> {
        match self {
            Self::License(fold) => fold.take_parked(),
            Self::Guild(fold) => fold.take_parked(),
            Self::Member(fold) => fold.take_parked(),
            Self::User(fold) => fold.take_parked(),
            Self::Session(fold) => fold.take_parked(),
            Self::Platform(fold) => fold.take_parked(),
            Self::Lines { parked, .. } => std::mem::take(parked),
        }
    }

    /// Aggregates in memory, or pages of rows.
    pub(crate) fn is_full(&self, entries_max: usize) -> bool {
        match self {
            Self::License(fold) => fold.len() >= entries_max,
            Self::Guild(fold) => fold.len() >= entries_max,
            Self::Member(fold) => fold.len() >= entries_max,
            Self::User(fold) => fold.len() >= entries_max,
            Self::Session(fold) => fold.len() >= entries_max,
            Self::Platform(fold) => fold.len() >= entries_max,
            Self::Lines { rows, .. } => !rows.is_empty(),
        }
    }

    /// Forgets what was written.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::License(fold) => fold.clear(),
            Self::Guild(fold) => fold.clear(),
            Self::Member(fold) => fold.clear(),
            Self::User(fold) => fold.clear(),
            Self::Session(fold) => fold.clear(),
            Self::Platform(fold) => fold.clear(),
            Self::Lines { rows, .. } => rows.clear(),
        }
    }
}
