//! The way of the frames: a generator, a device with two ports, a sink, each in a namespace of its own on a cable of its own.
//!
//! Two processors: one sends, the other does everything from the device's first port to the sink.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use opof_dataplane_linux::traffic::{Generator, Sink};
use opof_testkit::netns::{NetNs, Port, pin_thread, processors};
use opof_testkit::packet::{Layer, Packet};
use opof_testkit::wait::{self, Stopwatch};

use crate::area::Scale;
use crate::calls;
use crate::device::Device;

/// Frames between two looks at whether it is over: half a second. Before and after each such run the kernel waits for grace
/// periods, some 30 ms, in which nothing is sent.
const CHUNK: u32 = 2_000_000;
/// For programs to be taken off.
const BOUND: Duration = Duration::from_secs(10);
/// Of the frames that arrive, those that have to do so on the device's processor.
const SHARE: f64 = 0.95;

/// How long frames flow.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// Until they count.
    warm_up: Duration,
    /// While they count.
    window: Duration,
}

/// Everything but what forwards.
pub(super) struct Lane {
    pub(super) device: Device,
    generator: Port,
    sink: Sink,
    /// Of the generator, and of everything behind it.
    processors: [usize; 2],
    timing: Timing,
}

impl Lane {
    pub(super) fn new(scale: Scale) -> Result<Self> {
        let processors = processors()?;
        let &[device_processor, generator_processor, ..] = processors.as_slice() else {
            bail!("the generator and the device need a processor each, and there is one");
        };
        let outside = [Arc::new(NetNs::new("generator")?), Arc::new(NetNs::new("sink")?)];
        let device = Device::between([&outside[0], &outside[1]])?;
        let [generator, end] = [0, 1].map(|lif| device.wires[lif].clone());
        device.ports[0].thread_napi()?;
        let sink = end.namespace.run(|| Sink::new(&end.name))?.context("the sink")?;
        let milliseconds = |full, quick| Duration::from_millis(scale.of(full, quick));
        let timing = Timing { warm_up: milliseconds(1_000, 100), window: milliseconds(3_000, 300) };
        Ok(Self { device, generator, sink, processors: [generator_processor, device_processor], timing })
    }

    /// The device's ports, in the direction of the frames.
    pub(super) fn ports(&self) -> [&Port; 2] {
        [&self.device.ports[0], &self.device.ports[1]]
    }

    /// What the device runs on.
    pub(super) fn device_processor(&self) -> usize {
        self.processors[1]
    }

    /// Waits until nothing forwards: the kernel takes programs off in its own time.
    pub(super) fn clear(&self) -> Result<()> {
        self.device.clear();
        for port in self.ports() {
            let is_bare = || {
                let shown = port.namespace.ip(&format!("link show dev {}", port.name));
                shown.is_ok_and(|shown| !shown.contains("xdp")).then_some(())
            };
            wait::until(&format!("no program on {}", port.name), BOUND, is_bare)?;
        }
        Ok(())
    }

    /// Frames that arrive in a second while so many flows are sent, a frame each `interval` nanoseconds, or with 0 as fast as can be.
    pub(super) fn rate(&self, flows: u32, interval: u32) -> Result<f64> {
        self.count(&self.sink, flows, interval)
    }

    /// Frames in a second that a program counts and drops at the device's first port: more than that can't be forwarded.
    pub(super) fn ceiling(&self, flows: u32) -> Result<f64> {
        let [input, _] = self.ports();
        let sink = input.namespace.run(|| Sink::new(&input.name))?.context("a sink in the device")?;
        self.count(&sink, flows, 0)
    }

    fn count(&self, sink: &Sink, flows: u32, interval: u32) -> Result<f64> {
        let [generator_processor, device_processor] = self.processors;
        // What has been attached since may have made new threads.
        self.ports()[0].pin_napi(device_processor)?;
        let flows = NonZeroU32::new(flows).context("no flows")?;
        let out = &self.generator.name;
        let generator = self.generator.namespace.run(|| Generator::new(out, FIRST, flows, interval, &frame()))?;
        let (generator, is_over) = (generator.context("the generator")?, AtomicBool::new(false));
        let send = || -> Result<()> {
            pin_thread(generator_processor)?;
            while !is_over.load(Ordering::Relaxed) {
                generator.send(CHUNK).context("send")?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| self.generator.namespace.run(send)?);
            let counted = self.window(sink);
            is_over.store(true, Ordering::Relaxed);
            sending.join().expect("the generator does not panic")?;
            counted
        })
    }

    fn window(&self, sink: &Sink) -> Result<f64> {
        wait::pause(self.timing.warm_up);
        let (before, watch) = (sink.arrived_by_processor()?, Stopwatch::start());
        wait::pause(self.timing.window);
        let (after, elapsed) = (sink.arrived_by_processor()?, watch.elapsed());
        let by_processor: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        let all: u64 = by_processor.iter().sum();
        ensure!(all > 0, "no frame arrives");
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 frames")]
        let (all, there) = (all as f64, by_processor[self.device_processor()] as f64);
        ensure!(there >= SHARE * all, "frames arrive on the processors {by_processor:?}, not all on the device's");
        Ok(all / elapsed.as_secs_f64())
    }
}

/// The first session's source, as [`calls`] adds them.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Of 60 bytes, to be given a source; all that is in the sessions of [`calls`] but that.
fn frame() -> Vec<u8> {
    let packet = Packet::new().ipv4([0; 4], calls::DESTINATION).udp(calls::PORTS[0], calls::PORTS[1]).pad_to(60);
    // UDP's checksum is over the source too: there is none.
    packet.overwrite(Layer::Transport, 6, &[0; 2]).build()
}
