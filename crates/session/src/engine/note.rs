//! What the engine has a plane keep with each session: all that its rules do not say. So the engine of a later process can go on with
//! the sessions that it finds there.
//!
//! It may be another version that reads a note than the one that wrote it, and memory can be anything: what does not make the rules that
//! it is found with is no session. What must not be here: where a plane keeps notes, and what becomes of a session.

use core::num::NonZeroU16;

use opof_wire::{Endpoint, FlowKey, Tunnel};

use crate::l3::{Link, Links, Nat};
use crate::plane::{CopyMoment, FastAction, Note, PacketChange, Rule};
use crate::types::{Action, CloseReason, Moment, SessionId, SessionSpec};

/// Of what is written here.
const VERSION: u8 = 1;

/// What a session was to do when its note was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Fate {
    /// To go on.
    Lives,
    /// To be removed for a newer one, and to be there until its timeout.
    Waits,
    /// To end, without a record.
    Goes,
    /// To end, with a record that says this.
    Closes(CloseReason),
}

/// The bytes of a note's last word, from the lowest one on. The timeout is in front of them.
const KIND: usize = 4;
const TOLD: usize = 5;
const FATE: usize = 6;
const VERSION_AT: usize = 7;

const DROP: u8 = 0;
const FORWARD: u8 = 1;
const ROUTE: u8 = 2;
const COPY: u8 = 3;

/// What was said of the link towards `in_lif` although it goes without saying: its source, its destination, and the port of each.
const SNAT: u8 = 0x1;
const SNAT_PORT: u8 = 0x2;
const DNAT: u8 = 0x4;
const DNAT_PORT: u8 = 0x8;

const LIVES: u8 = 0;
const GOES: u8 = 1;
const WAITS: u8 = 6;
const CLOSES: [(u8, CloseReason); 4] =
    [(2, CloseReason::Timeout), (3, CloseReason::Deleted), (4, CloseReason::Reset), (5, CloseReason::NextHopGone)];

/// The note of a session that began at `started`.
pub(super) fn write(spec: &SessionSpec, started: Moment, fate: Fate) -> Note {
    let (kind, told) = match &spec.action {
        Action::Drop => (DROP, 0),
        Action::Forward => (FORWARD, 0),
        Action::Route(links) => (ROUTE, told(&links.towards_in)),
        Action::Mirror { .. } | Action::Snoop { .. } => (COPY, 0),
    };
    let [a, b, c, d] = spec.timeout_seconds.to_le_bytes();
    let rest = u64::from_le_bytes([a, b, c, d, kind, told, fate_byte(fate), VERSION]);
    Note([spec.id.0, started.0, rest])
}

/// Of which session a note is, since when, and what was to become of it: all that can be said without its rules.
pub(super) fn summary(&Note([id, started, rest]): &Note) -> Option<(SessionId, Moment, Fate)> {
    let bytes = rest.to_le_bytes();
    if bytes[VERSION_AT] != VERSION {
        return None;
    }
    Some((SessionId(id), Moment(started), fate(bytes[FATE])?))
}

/// The session that a note and its rules are of, since when, and what was to become of it. The caller sees to it that the session
/// makes these rules.
pub(super) fn read(note: &Note, rules: &[Rule; 2]) -> Option<(SessionSpec, Moment, Fate)> {
    let (id, started, fate) = summary(note)?;
    let bytes = note.0[2].to_le_bytes();
    let [forth, back] = rules;
    let flow = forth.key.flow;
    let action = match (bytes[KIND], forth.action, back.action) {
        (DROP, FastAction::Drop, FastAction::Drop) => Action::Drop,
        (FORWARD, FastAction::Forward { .. }, FastAction::Forward { .. }) => Action::Forward,
        (ROUTE, FastAction::Forward { change: forth, .. }, FastAction::Forward { change: back, .. }) => {
            Action::Route(Box::new(links(&flow, &forth, &back, bytes[TOLD])?))
        }
        (COPY, FastAction::Forward { copy: Some(copy), .. }, _) => match copy.moment {
            CopyMoment::AsItCame => Action::Mirror { collector: copy.collector },
            CopyMoment::AsItLeaves => Action::Snoop { collector: copy.collector },
        },
        _ => return None,
    };
    let [a, b, c, d, ..] = bytes;
    let spec = SessionSpec {
        id,
        in_lif: forth.key.lif,
        out_lif: back.key.lif,
        flow,
        out_vlan: back.key.flow.vlan,
        action,
        timeout_seconds: u32::from_le_bytes([a, b, c, d]),
    };
    Some((spec, started, fate))
}

fn told(link: &Link) -> u8 {
    let bits = |nat: Option<Nat>, is, has_port| match nat {
        Some(Nat { port: Some(_), .. }) => is | has_port,
        Some(Nat { port: None, .. }) => is,
        None => 0,
    };
    bits(link.snat, SNAT, SNAT_PORT) | bits(link.dnat, DNAT, DNAT_PORT)
}

/// What was said of both links. `None` where no session makes such changes.
fn links(flow: &FlowKey, forth: &PacketChange, back: &PacketChange, told: u8) -> Option<Links> {
    let (towards_out, mut towards_in) = (link(forth)?, link(back)?);
    if flow.tunnel == Tunnel::None {
        let said = |is, has_port, address, port| {
            let port = if told & has_port == 0 { None } else { NonZeroU16::new(port) };
            (told & is != 0).then_some(Nat { address, port })
        };
        towards_in.snat = said(SNAT, SNAT_PORT, flow.addresses.destination(), flow.destination_port);
        towards_in.dnat = said(DNAT, DNAT_PORT, flow.addresses.source(), flow.source_port);
    }
    Some(Links { towards_in, towards_out })
}

fn link(change: &PacketChange) -> Option<Link> {
    let PacketChange { vlan, next_hop, source, destination } = *change;
    let is_bad = |endpoint: &Option<Endpoint>| endpoint.is_some_and(|endpoint| endpoint.port == Some(0));
    if is_bad(&source) || is_bad(&destination) {
        return None;
    }
    let nat = |Endpoint { address, port }| Nat { address, port: port.and_then(NonZeroU16::new) };
    Some(Link { next_hop, snat: source.map(nat), dnat: destination.map(nat), vlan })
}

fn fate_byte(fate: Fate) -> u8 {
    match fate {
        Fate::Lives => LIVES,
        Fate::Waits => WAITS,
        Fate::Goes => GOES,
        Fate::Closes(reason) => {
            let known = CLOSES.iter().find(|(_, known)| *known == reason);
            known.expect("each reason has a byte").0
        }
    }
}

fn fate(byte: u8) -> Option<Fate> {
    match byte {
        LIVES => Some(Fate::Lives),
        WAITS => Some(Fate::Waits),
        GOES => Some(Fate::Goes),
        _ => CLOSES.iter().find(|(known, _)| *known == byte).map(|(_, reason)| Fate::Closes(*reason)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::admit::{check_way_back, rules};
    use crate::engine::tests::plane;
    use crate::packed::tests::spec;

    const FATES: [Fate; 7] = [
        Fate::Lives,
        Fate::Waits,
        Fate::Goes,
        Fate::Closes(CloseReason::Timeout),
        Fate::Closes(CloseReason::Deleted),
        Fate::Closes(CloseReason::Reset),
        Fate::Closes(CloseReason::NextHopGone),
    ];

    /// Says of the way back what goes without saying, as far as `told` asks for it.
    fn told_back(mut spec: SessionSpec, told: u8) -> SessionSpec {
        let flow = spec.flow;
        if let Action::Route(links) = &mut spec.action
            && flow.tunnel == Tunnel::None
        {
            let nat = |is, has_port, address, port| {
                let port = if told & has_port == 0 { None } else { NonZeroU16::new(port) };
                (told & is != 0).then_some(Nat { address, port })
            };
            links.towards_in.snat = nat(SNAT, SNAT_PORT, flow.addresses.destination(), flow.destination_port);
            links.towards_in.dnat = nat(DNAT, DNAT_PORT, flow.addresses.source(), flow.source_port);
            assert_eq!(check_way_back(&spec, &spec_links(&spec)), Ok(()));
        }
        spec
    }

    fn spec_links(spec: &SessionSpec) -> Links {
        if let Action::Route(links) = &spec.action { **links } else { Links::default() }
    }

    fn rules_of(spec: &SessionSpec) -> [Rule; 2] {
        let table = crate::index::Table::<crate::engine::lifecycle::Session>::new(1, 0);
        rules(spec, &table.keys_of(spec))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(spec in spec(), told in 0..16_u8, fate in 0..FATES.len(), started in any::<u64>()) {
            let (spec, fate, started) = (told_back(spec, told), FATES[fate], Moment(started));
            let note = write(&spec, started, fate);
            prop_assert_eq!(read(&note, &rules_of(&spec)), Some((spec, started, fate)));
        }

        /// Whatever it reads, the caller compares what it makes with what was found: nothing of it may panic.
        #[test]
        fn anything_is_read_without_a_panic(spec in spec(), words in any::<[u64; 3]>(), kind in 0..5_u64) {
            let rest = words[2] & !(0xFF << 32) & (u64::MAX >> 8) | kind << 32 | u64::from(VERSION) << 56;
            for note in [Note(words), Note([words[0], words[1], rest])] {
                if let Some((read, ..)) = read(&note, &rules_of(&spec)) {
                    let _ = rules_of(&read);
                }
            }
        }
    }

    #[test]
    fn a_note_byte_by_byte() {
        let note = write(&plane::spec(7, 1000), Moment(9), Fate::Closes(CloseReason::Reset));
        assert_eq!(note, Note([7, 9, 0x0104_0001_0000_000A]));
        let rules = rules_of(&plane::spec(7, 1000));
        let of = |rest| read(&Note([7, 9, rest]), &rules);
        assert!(of(0x0100_0001_0000_000A).is_some());
        assert_eq!(of(0x0200_0001_0000_000A), None, "another version");
        assert_eq!(of(0x0107_0001_0000_000A), None, "no such fate");
        assert_eq!(of(0x0100_0000_0000_000A), None, "drops, and its rules forward");
        assert_eq!(of(0), None, "nothing");
    }
}
