//! The personal part of a license, opened for whoever may see it. It is never stored in this form.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::state::License;
use crate::id::StreamId;
use crate::ports::Seal;
use crate::private::{Private, Subject, Unsealed};

/// The personal fields of a license. A field whose key was destroyed is [`Unsealed::Erased`], so that it can be
/// shown as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personal {
    /// The owner's snowflake; `None` without an owner.
    pub user_id: Option<Unsealed>,
    /// JSON text.
    pub metadata: Option<Unsealed>,
    /// JSON text, for staff and secret keys only.
    pub private_metadata: Option<Unsealed>,
    /// Names of active devices that have one, by our id.
    pub device_names: Vec<(Uuid, Unsealed)>,
}

impl License {
    /// Whose keys [`License::personal`] needs, each once. After a transfer that is the former owner as well,
    /// whose texts stay sealed as they were.
    pub fn subjects(&self) -> BTreeSet<Subject> {
        let names = self.devices.iter().filter_map(|device| device.name.as_ref());
        let owner = self.owner.iter().map(|owner| &owner.discord_id);
        let fields = owner.chain(&self.metadata).chain(&self.private_metadata).chain(names);
        fields.filter_map(Private::subject).collect()
    }

    /// Opens the personal fields. The keys of [`License::subjects`] have been loaded before.
    pub fn personal(&self, seal: &dyn Seal) -> Personal {
        let stream = StreamId::license(self.id);
        let open = |field: &Private| field.open(seal, &stream);
        Personal {
            user_id: self.owner.as_ref().map(|owner| open(&owner.discord_id)),
            metadata: self.metadata.as_ref().map(open),
            private_metadata: self.private_metadata.as_ref().map(open),
            device_names: self
                .devices
                .iter()
                .filter_map(|device| Some((device.id, open(device.name.as_ref()?))))
                .collect(),
        }
    }
}
