//! The kernel calls the function of a map's kind directly where a call sees one map, and through a pointer, with a
//! retpoline, where it sees two: some 12 ns for each frame. The compiler may make one call of two that end alike.

use std::collections::BTreeSet;

use aya_obj::Object;
use aya_obj::generated::bpf_insn;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/session.bpf.o");

/// linux/bpf.h
const BPF_CALL: u8 = 0x85;
const BPF_EXIT: u8 = 0x95;
const BPF_LD_IMM64: u8 = 0x18;
const BPF_JA32: u8 = 0x06;
const MAP_LOOKUP_ELEM: i32 = 1;
const REDIRECT_MAP: i32 = 51;

const fn class(instruction: bpf_insn) -> u8 {
    instruction.code & 0x07
}

/// The classes JMP and JMP32, less what does not jump.
fn target(at: usize, instruction: bpf_insn) -> Option<usize> {
    if !matches!(class(instruction), 5 | 6) || matches!(instruction.code, BPF_CALL | BPF_EXIT) {
        return None;
    }
    let by = if instruction.code == BPF_JA32 { instruction.imm } else { i32::from(instruction.off) };
    (at + 1).checked_add_signed(isize::try_from(by).expect("32 bits fit"))
}

/// The classes LD, LDX, ALU and ALU64.
fn writes_r1(instruction: bpf_insn) -> bool {
    matches!(class(instruction), 0 | 1 | 4 | 7) && instruction.code != 0 && instruction.dst_reg() == 1
}

#[derive(PartialEq, Eq, Debug)]
enum Sees {
    /// Whatever way led to the call.
    OneMap,
    /// A map that another map holds.
    FromRegister,
    /// Somebody jumps in between the map and the call.
    Several,
}

/// What the first argument of the call may be.
fn sees(code: &[bpf_insn], call: usize, targets: &BTreeSet<usize>) -> Sees {
    let set = (0..call).rev().find(|at| writes_r1(code[*at])).expect("a call has a map");
    let shared = code[set..call].iter().any(|i| i.code == BPF_CALL) || targets.range(set + 1..=call).next().is_some();
    match code[set].code {
        _ if shared => Sees::Several,
        BPF_LD_IMM64 => Sees::OneMap,
        _ => Sees::FromRegister,
    }
}

#[test]
fn every_call_about_a_map_is_about_one() {
    let object = Object::parse(OBJECT).expect("it is one");
    let (mut one, mut from_register) = (0, 0);
    for function in object.functions.values() {
        let code = &function.instructions;
        let targets = code.iter().enumerate().filter_map(|(at, instruction)| target(at, *instruction)).collect();
        for (at, instruction) in code.iter().enumerate() {
            let helper = instruction.code == BPF_CALL && instruction.src_reg() == 0;
            if !helper || !matches!(instruction.imm, MAP_LOOKUP_ELEM | REDIRECT_MAP) {
                continue;
            }
            match sees(code, at, &targets) {
                Sees::OneMap => one += 1,
                Sees::FromRegister => from_register += 1,
                Sees::Several => {
                    panic!("{}: instruction {at}, a call of helper {}, is shared", function.name, instruction.imm)
                }
            }
        }
    }
    assert!(one > 10, "{one} calls");
    assert_eq!(from_register, 1, "of the pair of ports that a copied frame takes");
}
