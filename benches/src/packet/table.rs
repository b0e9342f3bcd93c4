//! A plane with sessions in it, and the frames of those.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use opof_dataplane::DataPlane;
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::{RandomRunner, table_memory};
use opof_session::plane::{Command, Completion, FastAction, Note, PacketChange, Rule, Slot};
use opof_session::types::{Lif, MatchKey, Moment};
use opof_testkit::packet::{MIN_FRAME_LEN, Packet};
use opof_testkit::wait;
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use crate::calls::Family;
use crate::device::{Device, lifs};

/// Sessions that are installed at once.
const BATCH: usize = 16_384;
/// More than an answer needs.
const BOUND: Duration = Duration::from_secs(60);
/// Source of the first session, of which each next one has one more. Behind the last are as many again for those that miss.
const FIRST_V4: u32 = 0x0A00_0000;

/// As many sessions as there is room for, forwarded from the first LIF to the second and back, without any change.
pub(super) struct Sessions {
    plane: XdpPlane,
    pub(super) count: u32,
    family: Family,
}

impl Sessions {
    pub(super) fn install(device: &Device, count: u32, family: Family) -> Result<Self> {
        let config = device.plane(count);
        let plane = device.namespace.run(|| XdpPlane::open(&config))?.context("open the data plane")?;
        let mut sessions = Self { plane, count, family };
        for first in (0..count).step_by(BATCH) {
            let numbers = first..count.min(first.saturating_add(u32::try_from(BATCH)?));
            let commands: Vec<_> = numbers
                .map(|n| Command::Install { slot: Slot(n), rules: rules(key(n, family)), note: Note::default() })
                .collect();
            sessions.command(&commands)?;
        }
        Ok(sessions)
    }

    fn command(&mut self, commands: &[Command]) -> Result<()> {
        let (mut rest, mut answers) = (commands, Vec::with_capacity(commands.len()));
        while answers.len() < commands.len() {
            let taken = self.plane.submit(Moment(0), rest);
            rest = &rest[taken..];
            wait::until("an answer of the plane", BOUND, || {
                let ready = self.plane.poll(&mut Context::from_waker(Waker::noop()), &mut answers);
                (ready == Poll::Ready(())).then_some(())
            })?;
        }
        let failed = answers.iter().find(|answer| !matches!(answer, Completion::Installed { result: Ok(()), .. }));
        ensure!(failed.is_none(), "not installed: {failed:?}");
        Ok(())
    }

    /// Of the wire port on which the sessions come in.
    pub(super) fn runner(&self) -> Result<RandomRunner> {
        Ok(RandomRunner::new(&self.plane, lifs()[0])?)
    }

    /// Bytes of the table, with the counters in it.
    pub(super) fn memory(&self) -> Result<u64> {
        table_memory(&self.plane).context("read fdinfo")
    }

    /// Of the first session. Those behind it differ in the source.
    pub(super) fn hit(&self) -> Vec<u8> {
        frame(0, self.family, Flags::ACK)
    }

    /// The same of a flow that is no session; nor is one of as many behind it.
    pub(super) fn miss(&self) -> Vec<u8> {
        frame(self.count, self.family, Flags::ACK)
    }

    /// A SYN of the first session.
    pub(super) fn control(&self) -> Vec<u8> {
        frame(0, self.family, Flags::SYN)
    }
}

fn frame(n: u32, family: Family, flags: Flags) -> Vec<u8> {
    Packet::with_key(&key(n, family)).flags(flags).pad_to(MIN_FRAME_LEN).build()
}

fn key(n: u32, family: Family) -> FlowKey {
    let addresses = match family {
        Family::V4 => Addresses::V4 { source: (FIRST_V4 + n).to_be_bytes(), destination: [192, 0, 2, 1] },
        Family::V6 => {
            let mut source = [0xFD; 16];
            source[12..].copy_from_slice(&n.to_be_bytes());
            Addresses::V6 { source, destination: [0xFC; 16] }
        }
    };
    let transport = Transport::Tcp;
    let (vlan, tunnel) = (Vid::UNTAGGED, Tunnel::None);
    FlowKey { vlan, tunnel, addresses, source_port: 40_000, destination_port: 443, transport }
}

fn rules(flow: FlowKey) -> [Rule; 2] {
    let [a, b] = lifs();
    let rule = |from: Lif, to: Lif, flow| Rule {
        key: MatchKey { lif: from, flow },
        action: FastAction::Forward { to, change: PacketChange::default(), copy: None },
    };
    [rule(a, b, flow), rule(b, a, flow.reversed())]
}

#[cfg(test)]
mod tests {
    use opof_wire::{SlowPath, classify};

    use super::*;

    /// What the program in front does to a frame of the first session makes it one of the other.
    #[test]
    fn frames_of_two_sessions_differ_in_the_source_alone() {
        for (family, at) in [(Family::V4, 26), (Family::V6, 34)] {
            let (first, other) = (frame(0, family, Flags::ACK), key(0x0123_4567, family));
            let mut changed = first.clone();
            let last = u32::from_be_bytes(changed[at..at + 4].try_into().unwrap()) + 0x0123_4567;
            changed[at..at + 4].copy_from_slice(&last.to_be_bytes());
            assert_eq!(classify(&changed), Ok(other));
            assert_eq!(classify(&first), Ok(key(0, family)));
            assert_eq!(classify(&frame(0, family, Flags::SYN)), Err(SlowPath::TcpControl));
        }
    }
}
