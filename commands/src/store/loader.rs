//! Streams that commands ask for at the same moment are read in one statement, on connections of their own: a connection of
//! the pool costs two more round trips each time it is given back. Nothing here folds or judges what it reads.

use std::sync::Arc;
use std::time::Duration;

use domain::id::StreamId;
use sqlx::PgConnection;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::fold::Row;
use super::postgres::OwnConnection;
use super::sql;

/// Streams of one statement.
const AT_ONCE: usize = 64;
/// Connections: while one reads a long stream, the other goes on.
const CONNECTIONS: usize = 2;

/// Why a stream was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It may be read on another connection.
    Lost,
    /// The server does not answer: whoever asked has waited long enough.
    Silent,
}

/// One row: the wish that it answers, from 1, and what the fold needs.
type Columns = (i64, i64, String, String, String);

struct Wish {
    stream: StreamId,
    rows: oneshot::Sender<Result<Vec<Row>, Unread>>,
}

/// The asking side.
pub(super) struct Loader {
    wishes: mpsc::Sender<Wish>,
    timeout: Duration,
}

impl Loader {
    /// Starts on the current runtime. It ends with the last handle.
    pub(super) fn start(connection: impl Fn() -> OwnConnection, timeout: Duration) -> Self {
        let (wishes, receiver) = mpsc::channel(AT_ONCE);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..CONNECTIONS {
            tokio::spawn(work(Arc::clone(&receiver), connection(), timeout));
        }
        Self { wishes, timeout }
    }

    /// The rows of a stream, oldest first. The wait for others that a silent server holds up counts as well.
    pub(super) async fn rows(&self, stream: &StreamId) -> Result<Vec<Row>, Unread> {
        let asked = async {
            let (rows, answer) = oneshot::channel();
            self.wishes.send(Wish { stream: stream.clone(), rows }).await.map_err(|_| Unread::Lost)?;
            answer.await.unwrap_or(Err(Unread::Lost))
        };
        tokio::time::timeout(self.timeout, asked).await.unwrap_or(Err(Unread::Silent))
    }
}

async fn work(wishes: Arc<Mutex<mpsc::Receiver<Wish>>>, mut own: OwnConnection, timeout: Duration) {
    loop {
        let mut batch = Vec::new();
        if wishes.lock().await.recv_many(&mut batch, AT_ONCE).await == 0 {
            own.close().await;
            return;
        }
        match tokio::time::timeout(timeout, read(&mut own, &batch)).await {
            Ok(Ok(found)) => answer(batch, found),
            Ok(Err(_)) => refuse(batch, Unread::Lost),
            Err(_) => refuse(batch, Unread::Silent),
        }
    }
}

/// Reads the streams of a batch. If it fails, or is not waited for, its connection goes with it.
async fn read(own: &mut OwnConnection, batch: &[Wish]) -> sqlx::Result<Vec<Columns>> {
    let mut connection: PgConnection = own.take().await?;
    let kinds: Vec<&str> = batch.iter().map(|wish| wish.stream.kind.as_str()).collect();
    let ids: Vec<&str> = batch.iter().map(|wish| &*wish.stream.id).collect();
    let query = sqlx::query_as(sql::postgres::STREAMS).bind(kinds).bind(ids);
    let found = query.fetch_all(&mut connection).await?;
    own.keep(connection);
    Ok(found)
}

fn answer(batch: Vec<Wish>, found: Vec<Columns>) {
    let mut found = found.into_iter().peekable();
    for (wish, number) in batch.into_iter().zip(1..) {
        let mut rows = Vec::new();
        while let Some((_, sequence, event_type, event_version, payload)) =
            found.next_if(|(wanted, ..)| *wanted == number)
        {
            rows.push(Row::new(sequence, event_type, event_version, payload));
        }
        // Whoever asked may have gone away.
        let _ = wish.rows.send(Ok(rows));
    }
}

fn refuse(batch: Vec<Wish>, why: Unread) {
    for wish in batch {
        // As above.
        let _ = wish.rows.send(Err(why));
    }
}
