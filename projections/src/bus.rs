//! "There are events up to N": how whoever follows the log is woken, within this process and, over NATS, from others. It
//! carries no event and promises nothing; everyone trusts the log and looks at it by himself now and then.

mod nats;

use tokio::sync::watch;

pub use nats::{NatsBus, NatsError};

/// The bus. Another engine is another variant; nobody outside this file tells them apart.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Inside this process.
    Memory(MemoryBus),
    /// Between processes.
    Nats(NatsBus),
}

/// The bus of one process: the highest position that anybody told it.
#[derive(Debug, Clone)]
pub struct MemoryBus {
    head: watch::Sender<i64>,
}

impl MemoryBus {
    fn new() -> Self {
        Self { head: watch::Sender::new(0) }
    }

    /// There are events up to `position`. A lower one than was told before changes nothing.
    fn notify(&self, position: i64) {
        self.head.send_if_modified(|head| {
            let higher = position > *head;
            if higher {
                *head = position;
            }
            higher
        });
    }
}

impl Bus {
    /// A bus inside this process.
    pub fn memory() -> Self {
        Self::Memory(MemoryBus::new())
    }

    /// A bus between the processes that share a log of this epoch, over the servers of `url`, with commas between them. A
    /// server that does not answer is tried again and
    /// again; until it does, everybody looks at the log at his interval.
    ///
    /// # Errors
    /// [`NatsError::Address`] for what is no address of a NATS server.
    pub async fn nats(url: &str, epoch: &str) -> Result<Self, NatsError> {
        Ok(Self::Nats(NatsBus::connect(url, epoch).await?))
    }

    fn local(&self) -> &MemoryBus {
        match self {
            Self::Memory(bus) => bus,
            Self::Nats(bus) => bus.local(),
        }
    }

    /// This process appended events up to `position`. A lower one than was told before changes nothing.
    pub fn notify(&self, position: i64) {
        self.local().notify(position);
        if let Self::Nats(bus) = self {
            bus.tell(position);
        }
    }

    /// The log was seen to have events up to `position`, whoever appended them.
    pub(crate) fn hear(&self, position: i64) {
        self.local().notify(position);
    }

    /// Wakes whenever the highest position rises.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.local().head.subscribe()
    }

    /// The highest position told so far; 0 before the first.
    pub fn head(&self) -> i64 {
        *self.local().head.borrow()
    }

    /// Another process says that there is something to look at. Within one process nobody ever does.
    pub(crate) async fn called(&self) {
        match self {
            Self::Memory(_) => std::future::pending().await,
            Self::Nats(bus) => bus.called().await,
        }
    }

    /// Tells other processes and hears them, as long as it is awaited.
    pub(crate) async fn run(&self) {
        match self {
            Self::Memory(_) => std::future::pending().await,
            Self::Nats(bus) => bus.run().await,
        }
    }

    /// What is wrong with the way to other processes; `None` if nothing is, or if there is none.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Memory(_) => None,
            Self::Nats(bus) => bus.trouble(),
        }
    }
}
