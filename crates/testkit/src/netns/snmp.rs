//! What the stack of a namespace has found wrong with the packets that it got, by its own counters.

use std::fs;

use super::NetNs;
use super::error::NetError;

/// Packets that the stack has thrown away since the namespace was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InErrors {
    /// Checksums of TCP, over both families (`TcpInCsumErrors`).
    pub tcp_checksum: u64,
    /// Checksums of UDP, over both families (`UdpInCsumErrors`, `Udp6InCsumErrors`).
    pub udp_checksum: u64,
    /// IP headers, the checksum of IPv4 included, of both versions (`IpInHdrErrors`, `Ip6InHdrErrors`). A router counts here what
    /// has expired.
    pub ip_header: u64,
}

/// The counters of `namespace`.
pub fn in_errors(namespace: &NetNs) -> Result<InErrors, NetError> {
    // Not /proc/net: that is the namespace of the process, not of the thread.
    let read = |file: &str| {
        let path = format!("/proc/thread-self/net/{file}");
        let text = namespace.run(|| fs::read_to_string(&path))?;
        text.map_err(|source| NetError::Io { what: format!("read {path}"), source })
    };
    let (snmp, snmp6) = (read("snmp")?, read("snmp6")?);
    parse(&snmp, &snmp6)
        .ok_or_else(|| NetError::Output { what: format!("counters of {}", namespace.name()), output: snmp + &snmp6 })
}

fn parse(snmp: &str, snmp6: &str) -> Option<InErrors> {
    // Pairs of lines: names, then values.
    let ipv4 = |protocol: &str, name: &str| {
        let mut lines = snmp.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
        let (names, values) = (lines.next()?, lines.next()?);
        let (_, value) = names.split_whitespace().zip(values.split_whitespace()).find(|(found, _)| *found == name)?;
        value.parse::<u64>().ok()
    };
    let ipv6 = |name: &str| {
        let mut pairs = snmp6.lines().filter_map(|line| line.split_once(char::is_whitespace));
        pairs.find(|(found, _)| *found == name)?.1.trim().parse::<u64>().ok()
    };
    Some(InErrors {
        tcp_checksum: ipv4("Tcp", "InCsumErrors")?,
        udp_checksum: ipv4("Udp", "InCsumErrors")? + ipv6("Udp6InCsumErrors")?,
        ip_header: ipv4("Ip", "InHdrErrors")? + ipv6("Ip6InHdrErrors")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_both_files() {
        let snmp = "Ip: Forwarding InHdrErrors\nIp: 1 2\nTcp: InErrs InCsumErrors\nTcp: 0 3\n\
                    Udp: InCsumErrors IgnoredMulti\nUdp: 4 0\n";
        let snmp6 = "Ip6InHdrErrors                  \t5\nUdp6InCsumErrors \t6\n";
        let expected = InErrors { tcp_checksum: 3, udp_checksum: 10, ip_header: 7 };
        assert_eq!(parse(snmp, snmp6), Some(expected));
        assert_eq!(parse(snmp, ""), None);
        assert_eq!(parse("Ip: InHdrErrors", snmp6), None);
    }
}
