//! A table begins, is killed or told to stop, and another one goes on.

use std::time::Duration;

use opof_daemon::simulation::{Disk, Parts, Stored, Table};
use opof_dataplane::SimPlane;
use opof_dataplane::faulty::FaultRates;

use super::World;
use crate::governed::Governed;
use crate::ledger::{Checked, holds};
use crate::limits;
use crate::traffic;

impl World {
    /// The process is killed, or the power fails, and another one begins. Without a disk that would lose what has ended.
    pub(super) fn kill(&mut self, power: bool) -> Checked {
        let Some(disk) = &self.disk else { return Ok(()) };
        let after = if power {
            let kept: Vec<u8> = (0..8).map(|_| self.dice.number().to_le_bytes()[0]).collect();
            disk.after_power_failure(&kept)
        } else {
            disk.after_kill()
        };
        self.tell(if power { "the power fails" } else { "killed" });
        self.table = None;
        self.begin_after(after, power)
    }

    fn begin_after(&mut self, disk: Disk, power: bool) -> Checked {
        // What was answered before is known.
        self.settle()?;
        self.loans.clear();
        self.disk = Some(disk);
        let sessions = self.config.max_sessions + self.dice.below_u32(3);
        let plane = if power {
            self.boots += 1;
            let (plane, ports) = SimPlane::new(&traffic::lifs(), sessions);
            self.ports = ports;
            plane
        } else {
            self.ports.next_plane()
        };
        self.plane = Governed::new(plane, FaultRates::default(), self.dice.number());
        let kept = self.ports.found();
        self.begin()?;
        let restored = self.table.as_ref().map(|table| table.restored().to_vec()).unwrap_or_default();
        let lost = self.watch.seen().lost;
        self.ledger.restart(&kept, &restored, power, lost)?;
        self.turn()
    }

    pub(super) fn begin(&mut self) -> Checked {
        let parts = Parts {
            config: self.config.clone(),
            plane: Box::new(self.plane.clone()),
            time: self.time.clone(),
            disk: self.disk.clone().map(|disk| (disk, self.boots)),
            pair: None,
            watcher: self.watch.watcher(self.ports.clone(), self.time.clone()),
        };
        let table = Table::start(parts).map_err(|error| format!("the table does not begin: {error}"))?;
        self.table = Some(table);
        self.bell.ring();
        Ok(())
    }

    /// The table ends in order, or when its time is over, and another one begins.
    pub(super) fn stop(&mut self) -> Checked {
        if self.disk.is_none() {
            return Ok(());
        }
        self.tell("told to stop");
        if let Some(table) = &self.table {
            table.stop(limits::GRACE);
        }
        let end = self.time.now().saturating_add(limits::GRACE + Duration::from_millis(1));
        while self.table.is_some() {
            holds!(self.time.now() <= end, "the driver goes on although its time is over");
            if self.is_due() {
                self.turn()?;
            } else if self.store() == Stored::Nothing || self.dice.chance(300) {
                self.wait(Duration::from_millis(100));
            }
            self.settle()?;
        }
        let after = self.disk.as_ref().map(Disk::after_kill).unwrap_or_default();
        self.begin_after(after, false)
    }
}
