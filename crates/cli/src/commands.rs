//! What each command does. Those about the device as a whole are in `device`, those about a pair of
//! them in `ha`.

pub(crate) mod conformance;
mod device;
mod ha;

use std::io::{self, Write};
use std::path::Path;

use opof_client::{AddFailed, Client, Dialect, Error, Refused, SubscribeConfig};

use crate::args::{AddArgs, Args, ClosedArgs, Command, IdArgs, ListArgs, ServerArgs};
use crate::exit::Failure;
use crate::input::{self, SessionFile};
use crate::limits;
use crate::output::{self, Sessions, Unread};
use crate::progress::Progress;
use crate::server;

/// Does what is asked.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (server, json) = (&args.server, args.output.json);
    match &args.command {
        Command::Add(what) => add(server, what, json).await,
        Command::Get(ids) => get(server, ids, json).await,
        Command::List(which) => list(server, *which, json).await,
        Command::Delete(ids) => delete(server, ids, json).await,
        Command::Closed(which) => closed(server, *which, json).await,
        Command::Conformance(what) => conformance::run(server, what, json).await,
        Command::Device => device::device(server, json).await,
        Command::Health => device::health(server, json).await,
        Command::Version => device::version(server, json).await,
        Command::Reset(_) => device::reset(server, json).await,
        Command::NextHop(what) => device::next_hop(server, what, json).await,
        Command::VlanFlow(what) => device::vlan_flow(server, what, json).await,
        Command::Ha(what) => ha::run(server, *what, json).await,
        Command::Shutdown(how) => device::shutdown(server, *how, json).await,
    }
}

/// Adds what the arguments or a file say, and writes what was refused as it comes.
async fn add(server: &ServerArgs, what: &AddArgs, json: bool) -> Result<(), Failure> {
    // What is wrong with the arguments needs no device to be told.
    let one = input::from_args(what)?;
    let mut count = Count::default();
    let result = match (one, &what.file) {
        (Some(session), _) => {
            let outcome = server::connect(server, Dialect::V1).await?.add([session]).await.map_err(Error::from)?;
            count.take(outcome.accepted, &outcome.refused, json)
        }
        (None, Some(path)) => add_file(server, path, json, &mut count).await,
        // The arguments' definition asks for one of the two.
        (None, None) => Ok(()),
    };
    // When a file fails half way, what went before is done and should be said.
    if result.is_ok() || count.all() > 0 {
        writeln!(Unread(io::stdout()), "{}", output::added(count.accepted, count.refused, json))?;
    }
    result?;
    if count.refused == 0 { Ok(()) } else { Err(Failure::Refused { refused: count.refused, all: count.all() }) }
}

async fn add_file(server: &ServerArgs, path: &Path, json: bool, count: &mut Count) -> Result<(), Failure> {
    let (mut file, length) = SessionFile::open(path)?;
    let mut batch = file.batch(limits::BATCH)?;
    let mut client = server::connect(server, Dialect::V1).await?;
    let mut progress = Progress::new(length);
    while !batch.is_empty() {
        let (outcome, failed) = match client.add(batch).await {
            Ok(outcome) => (outcome, None),
            Err(AddFailed { error, outcome }) => (outcome, Some(error)),
        };
        count.take(outcome.accepted, &outcome.refused, json)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        progress.show(file.read_bytes(), count.accepted, count.refused);
        batch = file.batch(limits::BATCH)?;
    }
    Ok(())
}

#[derive(Default)]
struct Count {
    accepted: u64,
    refused: u64,
}

impl Count {
    fn take(&mut self, accepted: u64, refused: &[Refused], json: bool) -> Result<(), Failure> {
        self.accepted += accepted;
        self.refused += refused.len() as u64;
        let mut out = Unread(io::stdout().lock());
        for session in refused {
            writeln!(out, "{}", output::refused(session, json))?;
        }
        Ok(())
    }

    const fn all(&self) -> u64 {
        self.accepted + self.refused
    }
}

async fn get(server: &ServerArgs, which: &IdArgs, json: bool) -> Result<(), Failure> {
    let mut client = server::connect(server, Dialect::V1).await?;
    each(&mut client, which, json, async |client, id| client.get(id).await).await
}

async fn delete(server: &ServerArgs, which: &IdArgs, json: bool) -> Result<(), Failure> {
    let mut client = server::connect(server, Dialect::V1).await?;
    each(&mut client, which, json, async |client, id| client.delete(id).await).await
}

/// Asks for each id, writes what is found, and names what is not.
async fn each<F>(client: &mut Client, which: &IdArgs, json: bool, ask: F) -> Result<(), Failure>
where
    F: AsyncFn(&mut Client, u64) -> Result<Option<opof_client::SessionReport>, Error>,
{
    let mut sessions = Sessions::new(Unread(io::stdout().lock()), json);
    let mut missing = Vec::new();
    let mut result = Ok(());
    for &id in &which.ids {
        match ask(client, id).await {
            Ok(Some(session)) => sessions.write(&session)?,
            Ok(None) => missing.push(id.to_string()),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    // What was found, and what was deleted, is told even when a later one fails.
    sessions.flush()?;
    result?;
    if missing.is_empty() { Ok(()) } else { Err(Failure::NotFound(missing.join(", "))) }
}

async fn list(server: &ServerArgs, which: ListArgs, json: bool) -> Result<(), Failure> {
    let client = server::connect(server, Dialect::V1).await?;
    let mut sessions = Sessions::new(io::stdout().lock(), json);
    let mut left = which.limit.unwrap_or(u64::MAX);
    let size = u32::try_from(left).unwrap_or(u32::MAX).min(opof_client::limits::PAGE);
    let mut pages = client.list().starting_at(which.from).page_size(size);
    while left > 0
        && let Some(page) = pages.next_page().await?
    {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(page.len());
        for session in &page[..wanted] {
            sessions.write(session)?;
        }
        left -= wanted as u64;
    }
    Ok(sessions.flush()?)
}

async fn closed(server: &ServerArgs, which: ClosedArgs, json: bool) -> Result<(), Failure> {
    let mut client = server::connect(server, Dialect::V1).await?;
    if which.follow {
        return follow(&client, json).await;
    }
    let mut sessions = Sessions::new(io::stdout().lock(), json);
    let mut stream = client.closed(which.limit.unwrap_or(0)).await?;
    let result = loop {
        match stream.next().await {
            Ok(Some(session)) => sessions.write(&session)?,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Each session is told once: what has come must be written even when the stream breaks.
    sessions.flush()?;
    Ok(result?)
}

/// Writes sessions as they close, until somebody ends it, or an error that no retry mends.
async fn follow(client: &Client, json: bool) -> Result<(), Failure> {
    let config = SubscribeConfig::new().follow(true).idle(limits::FOLLOW_FLUSH, limits::FOLLOW_INTERVAL);
    let mut closed = client.subscribe_closed(config);
    let mut sessions = Sessions::new(io::stdout().lock(), json).endless();
    let mut in_trouble = false;
    loop {
        match tokio::time::timeout(limits::FOLLOW_FLUSH, closed.next()).await {
            Ok(Ok(session)) => sessions.write(&session)?,
            Ok(Err(error)) => {
                sessions.flush()?;
                return Err(error.into());
            }
            // Nothing more for now: a person wants to see what there is.
            Err(_) => sessions.flush()?,
        }
        match closed.trouble() {
            Some(error) if !in_trouble => writeln!(io::stderr(), "opof: {error}; trying again")?,
            _ => {}
        }
        in_trouble = closed.trouble().is_some();
    }
}
