//! The same story without root: the daemon in this process, its simulated data plane, and frames from a builder.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use opof_client::{Client, ClientConfig, DirectionCounters};
use opof_daemon::config::{Address, Config, Security};
use opof_daemon::{Daemon, RunningDaemon};
use opof_dataplane::pipeline::{Outcome, Port};
use opof_session::types::{Lif, SessionSpec};
use opof_testkit::packet::Packet;
use opof_tests::{Closed, Counted, session};
use opof_wire::tcp::Flags;
use opof_wire::{FlowKey, Transport};
use serde_json::{Value, json};

use crate::Story;
use crate::case::Case;
use crate::outcome::Check;
use crate::progress::Progress;
use crate::report::{self, Verdict};

/// Data packets each way, in each run.
const PACKETS: u64 = 10_000;
/// Idle time after which the sessions close, in seconds.
const TIMEOUT: u32 = 2;
const CLOSED_BOUND: Duration = Duration::from_secs(TIMEOUT as u64 + 5);
const CLOSED_POLL: Duration = Duration::from_millis(100);
const CLIENT_PORT: u16 = 40_000;

/// All of it.
pub(crate) fn tell() -> Result<Story> {
    let runtime = tokio::runtime::Runtime::new().context("start threads for the daemon")?;
    runtime.block_on(async {
        // What `opofd` runs with when it is told nothing, on a port that is free.
        let mut config = Config::default();
        for listener in &mut config.listeners {
            listener.address = Address::Tcp((Ipv4Addr::LOCALHOST, 0).into());
            listener.security = Security::Plaintext;
        }
        let daemon = Daemon::start(&config).await?;
        let address = daemon.addresses().first().context("the daemon has no address")?;
        let mut client = Client::connect(ClientConfig::new(format!("http://{address}"))).await?;
        let progress = Progress::start()?;
        let told = story(&daemon, &mut client, &progress).await;
        progress.end();
        ensure!(daemon.stop().await, "the daemon did not stop in order");
        told
    })
}

async fn story(daemon: &RunningDaemon, client: &mut Client, progress: &Progress) -> Result<Story> {
    let wire = Wire { daemon, lifs: [1, 2].map(|id| Lif::new(id).expect("1 and 2 are not 0")) };
    let (mut verdicts, mut figures, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for (id, case) in (1..).zip(Case::all()) {
        progress.now(case.name);
        let told = play(&wire, client, id, &case).await.with_context(|| case.name)?;
        progress.say(&format!(
            "  {:<16} firewall: {} frames without offload, {} offloaded; device: {} packets {} bytes to the server, {} packets {} bytes to the client",
            case.name, told.before, told.after, told.counted.inward.packets, told.counted.inward.bytes,
            told.counted.outward.packets, told.counted.outward.bytes,
        ));
        figures.push(told.json(&case));
        counted.push(told.counted);
        verdicts.push(Verdict { case: case.name.to_owned(), checks: told.checks });
    }
    progress.now("waiting for the sessions to time out");
    let closed = collect(client, counted.len()).await?;
    progress.say("\nClosed sessions, as they were collected:");
    for record in &closed {
        progress.say(&report::closed(record));
    }
    progress.say("");
    let expected: Vec<(u64, Counted)> = (1..).zip(counted).collect();
    let mut arrived: Vec<(u64, Counted)> = closed.iter().map(|record| (record.id, record.counted)).collect();
    arrived.sort_by_key(|(id, _)| *id);
    let detail = format!("{} of {}", arrived.len(), expected.len());
    let check = Check { what: "each arrives once, with its final counters", ok: arrived == expected, detail };
    verdicts.push(Verdict { case: "closed sessions".into(), checks: vec![check] });
    Ok(Story { verdicts, figures: json!({ "simulated": true, "cases": figures }) })
}

/// What a case found.
struct Told {
    before: u64,
    after: u64,
    counted: Counted,
    checks: Vec<Check>,
}

impl Told {
    fn json(&self, case: &Case) -> Value {
        let (before, after) = (self.before, self.after);
        json!({ "case": case.name, "firewall": {"without_offload": before, "with_offload": after}, "session": self.counted.json() })
    }
}

async fn play(wire: &Wire<'_>, client: &mut Client, id: u64, case: &Case) -> Result<Told> {
    let key = case.key(CLIENT_PORT);
    let before = wire.exchange(&key)?;
    let spec = SessionSpec { timeout_seconds: TIMEOUT, ..session(id, key) };
    let added = client.add([spec.into()]).await?;
    ensure!(added.refused.is_empty(), "the session was refused: {}", added.refused[0].reason);
    let after = wire.exchange(&key)?;
    let counted: Counted = client.get(id).await?.context("the session is gone before its time")?.into();

    let check = |what, ok, detail: String| Check { what, ok, detail };
    let control = if case.tcp { after.control } else { 0 };
    let checks = vec![
        check(
            "without offload the firewall sees every packet",
            before.data_at_firewall == 2 * PACKETS,
            before.data_at_firewall.to_string(),
        ),
        check(
            "with offload it sees no packet of its data",
            after.data_at_firewall == 0,
            after.data_at_firewall.to_string(),
        ),
        check(
            "it still sees the TCP control packets",
            after.control_at_firewall == control,
            after.control_at_firewall.to_string(),
        ),
        check(
            "every packet arrives",
            before.arrived == before.sent && after.arrived == after.sent,
            after.arrived.to_string(),
        ),
        check("device = wire, packets and bytes", counted == after.offloaded, format!("{counted:?}")),
    ];
    let firewall = |run: &Exchange| run.data_at_firewall + run.control_at_firewall;
    Ok(Told { before: firewall(&before), after: firewall(&after), counted, checks })
}

/// The client and the server, and the bridge that the firewall is.
struct Wire<'a> {
    daemon: &'a RunningDaemon,
    lifs: [Lif; 2],
}

/// What became of the frames of one run.
#[derive(Default)]
struct Exchange {
    sent: u64,
    arrived: u64,
    control: u64,
    data_at_firewall: u64,
    control_at_firewall: u64,
    offloaded: Counted,
}

impl Wire<'_> {
    /// A connection from its first packet to its last, the data both ways.
    fn exchange(&self, key: &FlowKey) -> Result<Exchange> {
        let mut run = Exchange::default();
        let directions = [(0, *key), (1, key.reversed())];
        if key.transport == Transport::Tcp {
            for (side, key) in directions {
                self.send(side, &Packet::with_key(&key).flags(Flags::SYN).build(), true, &mut run)?;
            }
        }
        for number in 0..PACKETS {
            for (side, key) in directions {
                let length = usize::try_from(number % 1_400)?;
                self.send(side, &Packet::with_key(&key).payload(&[0; 1_400][..length]).build(), false, &mut run)?;
            }
        }
        if key.transport == Transport::Tcp {
            for (side, key) in directions {
                self.send(side, &Packet::with_key(&key).flags(Flags::FIN | Flags::ACK).build(), true, &mut run)?;
            }
        }
        Ok(run)
    }

    /// One frame from the client (side 0) or the server, and through the firewall where it goes there.
    fn send(&self, side: usize, frame: &[u8], is_control: bool, run: &mut Exchange) -> Result<()> {
        let ports = self.daemon.sim_ports().context("the daemon does not simulate")?;
        let (here, there) = (self.lifs[side], self.lifs[1 - side]);
        let now = self.daemon.clock().now();
        run.sent += 1;
        run.control += u64::from(is_control);
        let mut out = ports.receive(now, Port::wire(here), frame);
        if let Outcome::Out { port, frame: seen, .. } = &out
            && *port == Port::firewall(here)
        {
            run.data_at_firewall += u64::from(!is_control);
            run.control_at_firewall += u64::from(is_control);
            out = ports.receive(now, Port::firewall(there), seen);
        } else {
            let counters = if side == 0 { &mut run.offloaded.inward } else { &mut run.offloaded.outward };
            *counters = DirectionCounters {
                packets: counters.packets + 1,
                bytes: counters.bytes + u64::try_from(frame.len())?,
            };
        }
        let untouched = Outcome::Out { port: Port::wire(there), frame: frame.to_vec(), copy: None };
        run.arrived += u64::from(out == untouched);
        Ok(())
    }
}

/// Collects until there are `expected` records, or until they should have come long ago.
async fn collect(client: &mut Client, expected: usize) -> Result<Vec<Closed>> {
    let mut closed: Vec<Closed> = Vec::new();
    let waiting = async {
        while closed.len() < expected {
            tokio::time::sleep(CLOSED_POLL).await;
            closed.extend(client.closed(0).await?.collect().await?.into_iter().map(Closed::from));
        }
        anyhow::Ok(())
    };
    // What is missing when the time is up shows in the verdict.
    if let Ok(done) = tokio::time::timeout(CLOSED_BOUND, waiting).await {
        done?;
    }
    Ok(closed)
}
