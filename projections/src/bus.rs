//! "There are events up to N": how whoever follows the log is woken. It carries no event and promises nothing;
//! everyone trusts the log and looks at it by himself now and then.

use tokio::sync::watch;

/// The bus. Another engine is another variant; nobody outside this file tells them apart.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Inside this process.
    Memory(MemoryBus),
}

/// The bus of one process: the highest position that anybody told it.
#[derive(Debug, Clone)]
pub struct MemoryBus {
    head: watch::Sender<i64>,
}

impl Bus {
    /// A bus inside this process.
    pub fn memory() -> Self {
        Self::Memory(MemoryBus { head: watch::Sender::new(0) })
    }

    /// There are events up to `position`. A lower one than was told before changes nothing.
    pub fn notify(&self, position: i64) {
        let Self::Memory(bus) = self;
        bus.head.send_if_modified(|head| {
            let higher = position > *head;
            if higher {
                *head = position;
            }
            higher
        });
    }

    /// Wakes whenever the highest position rises.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        let Self::Memory(bus) = self;
        bus.head.subscribe()
    }

    /// The highest position told so far; 0 before the first.
    pub fn head(&self) -> i64 {
        let Self::Memory(bus) = self;
        *bus.head.borrow()
    }
}
