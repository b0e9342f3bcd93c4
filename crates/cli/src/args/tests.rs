use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(["opof"].into_iter().chain(line.split_whitespace()))
}

fn refused(line: &str) -> ErrorKind {
    parse(line).expect_err(line).kind()
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn global_options_go_anywhere() {
    for line in ["--json --server http://x:1 device", "device --json --server http://x:1"] {
        let args = parse(line).unwrap();
        assert!(args.output.json);
        assert_eq!(args.server.server, ["http://x:1"]);
    }
}

#[test]
fn both_devices_of_a_pair_can_be_given() {
    for line in ["list --server http://x:1 --server http://y:2", "--server http://x:1,http://y:2 list"] {
        assert_eq!(parse(line).unwrap().server.server, ["http://x:1", "http://y:2"], "{line}");
    }
    assert_eq!(parse("list").unwrap().server.server, ["https://localhost:3443"]);
}

#[test]
fn what_a_device_is_to_be_is_a_word() {
    let Command::Ha(HaCommand::Become { role }) = parse("ha become active").unwrap().command else { panic!("become") };
    assert_eq!(opof_client::PairRole::from(role), opof_client::PairRole::Active);
    assert_eq!(refused("ha become"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("ha become leader"), ErrorKind::InvalidValue);
    assert_eq!(refused("ha"), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    for line in ["ha status", "ha switchover --json", "ha resync --server http://x:1"] {
        assert!(matches!(parse(line).unwrap().command, Command::Ha(_)), "{line}");
    }
}

#[test]
fn keepalived_is_shown_the_lines_of_its_example() {
    let example = include_str!("../../../../contrib/keepalived/keepalived.conf");
    let mut command = Args::command();
    command.build();
    let ha = command.find_subcommand_mut("ha").unwrap();
    for (name, lines) in [("become", ["notify_master", "notify_backup"].as_slice()), ("status", &["script \"/usr"])] {
        let help = ha.find_subcommand_mut(name).unwrap().render_help().to_string();
        for line in lines {
            let line = example.lines().find(|text| text.contains(line)).unwrap().trim();
            assert!(help.contains(line), "{line}\n{help}");
        }
    }
}

#[test]
fn a_session_on_the_command_line() {
    let line = "add --id 7 --in-lif 3 --out-lif 4 --source [2001:db8::1]:5 --destination [2001:db8::2]:6 \
                --protocol udp --vlan 100 --out-vlan 200 --action snoop --collector 10.0.0.9 --timeout-seconds 30";
    let Command::Add(add) = parse(line).unwrap().command else { panic!("add") };
    assert_eq!((add.id, add.in_lif, add.out_lif), (Some(7), Some(3), Some(4)));
    assert_eq!(add.source.unwrap().to_string(), "[2001:db8::1]:5");
    assert_eq!((add.protocol, add.action), (Some(Protocol::Udp), Some(ActionKind::Snoop)));
    assert_eq!((add.vlan, add.out_vlan, add.timeout_seconds), (Some(100), Some(200), Some(30)));
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(refused("add"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("add --id 1 --source 10.0.0.1:1"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("add --id 1 --file x"), ErrorKind::ArgumentConflict);
    assert_eq!(refused("add --file x --vlan 3"), ErrorKind::ArgumentConflict);
    let good = "add --id 1 --source 10.0.0.1:1 --destination 10.0.0.2:2 --protocol";
    assert_eq!(refused(&format!("{good} icmp")), ErrorKind::InvalidValue);
    assert_eq!(refused(&format!("{good} tcp --out-vlan 3")), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("add --id -1"), ErrorKind::UnknownArgument);
    assert_eq!(refused("get"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("get one"), ErrorKind::ValueValidation);
    assert_eq!(refused("closed --follow --limit 3"), ErrorKind::ArgumentConflict);
    assert_eq!(refused("list --limit 0"), ErrorKind::ValueValidation);
    assert_eq!(refused("device --timeout 0"), ErrorKind::ValueValidation);
}

#[test]
fn an_empty_variable_is_not_set() {
    let command = |value: &'static str| without_empty(Args::command(), move |_| Some(value.into()));
    let variables = |command: &clap::Command| command.get_arguments().filter(|arg| arg.get_env().is_some()).count();
    assert_eq!(variables(&command("")), 0);
    assert_eq!(variables(&command("x")), variables(&Args::command()));
}

fn help(name: &str) -> String {
    let mut command = Args::command();
    command.build();
    command.find_subcommand_mut(name).expect(name).render_help().to_string()
}

#[test]
fn examples_can_be_pasted() {
    let help = help("add");
    let examples = ADD_EXAMPLES.lines().filter(|line| line.starts_with("  "));
    for example in examples {
        assert!(help.lines().any(|line| line == example), "{example}\n{help}");
    }
}

#[test]
fn options_of_every_command_stand_apart() {
    let help = help("list");
    let (own, rest) = help.split_once("\nConnection:\n").expect(&help);
    let (connection, output) = rest.split_once("\nOutput:\n").expect(&help);
    assert!(own.contains("--from") && own.contains("--limit") && !own.contains("--server"), "{help}");
    assert!(connection.contains("--server") && connection.contains("--timeout") && !connection.contains("--from"));
    assert!(output.contains("--json"), "{help}");
}

#[test]
fn every_command_has_an_example() {
    let has_example = |command: &clap::Command, name: &str| {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("opof {name}")), "{name}");
    };
    for command in Args::command().get_subcommands() {
        has_example(command, command.get_name());
        for own in command.get_subcommands() {
            has_example(own, &format!("{} {}", command.get_name(), own.get_name()));
        }
    }
}

#[test]
fn what_is_spoken_has_a_name() {
    let server = |line: &str| parse(line).map(|args| args.server);
    let default = server("device").unwrap();
    assert_eq!((default.dialect, default.profile), (None, Profile::SPEC));
    let given = server("get 1 --dialect v1.1 --profile c-client").unwrap();
    assert_eq!((given.dialect, given.profile), (Some(Dialect::V1_1), Profile::C_CLIENT));
    assert_eq!(refused("device --dialect v3"), ErrorKind::InvalidValue);
    assert_eq!(refused("device --profile mine"), ErrorKind::InvalidValue);
}

#[test]
fn what_cannot_be_undone_has_to_be_meant() {
    for line in ["reset", "shutdown", "next-hop clear", "vlan-flow clear"] {
        assert_eq!(refused(line), ErrorKind::MissingRequiredArgument, "{line}");
        assert!(parse(&format!("{line} --yes")).is_ok(), "{line}");
    }
}

#[test]
fn next_hops_and_vlan_flows() {
    let line = "next-hop set --id 7 --source-mac 02:00:00:00:00:01 --destination-mac 02:00:00:00:00:0F --ipv6";
    let Command::NextHop(NextHopCommand::Set(set)) = parse(line).unwrap().command else { panic!("set") };
    assert_eq!((set.id.get(), set.ipv6), (7, true));
    assert_eq!(set.destination_mac.to_string(), "02:00:00:00:00:0f");
    for mac in ["02:00:00:00:00", "02:00:00:00:00:0g", "020000000001", "02:00:00:00:00:1", "02:00:00:00:00:01:02"] {
        assert_eq!(refused(&line.replace("02:00:00:00:00:01", mac)), ErrorKind::ValueValidation, "{mac}");
    }
    assert_eq!(refused("next-hop destroy 0"), ErrorKind::ValueValidation);
    assert_eq!(refused("next-hop destroy"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("vlan-flow add --vlan 4095 --lif 1"), ErrorKind::ValueValidation);
    assert_eq!(refused("vlan-flow add --vlan 0 --lif 1"), ErrorKind::ValueValidation);
    assert_eq!(refused("vlan-flow add --vlan 1 --lif 0"), ErrorKind::ValueValidation);
    assert_eq!(refused("vlan-flow remove"), ErrorKind::MissingRequiredArgument);
}
