//! What is asked of a device as one of a high-availability pair.

use std::io::{self, Write};

use opof_client::Health;

use crate::args::{HaCommand, ServerArgs};
use crate::exit::Failure;
use crate::output::{Unread, pair};
use crate::server;

pub(super) async fn run(server: &ServerArgs, what: HaCommand, json: bool) -> Result<(), Failure> {
    let mut client = server::connect_to_one(server).await?;
    let (pair, is_fit) = match what {
        HaCommand::Status => {
            let pair = client.pair().await?;
            (pair, Some(client.pair_health().await? == Health::Serving))
        }
        HaCommand::Switchover => (client.switchover().await?, None),
        HaCommand::Become { role } => (client.become_role(role.into()).await?, None),
        HaCommand::Resync => (client.resync().await?, None),
    };
    writeln!(Unread(io::stdout()), "{}", pair::view(&pair, is_fit, json))?;
    if is_fit == Some(false) { Err(Failure::NotFit) } else { Ok(()) }
}
