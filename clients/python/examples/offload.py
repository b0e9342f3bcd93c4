import sys
import opof

certificate, target = sys.argv[1], sys.argv[2]
with opof.Client(target, tls=opof.Tls(ca=certificate)) as device:
    outcome = device.add([
        opof.Session(1, ("10.0.0.1", 12345), ("10.1.0.3", 80), "tcp", timeout_seconds=30),
        opof.Session(2, ("10.0.0.1", 5353), ("10.1.0.3", 53), "udp", timeout_seconds=1),
    ])
    print(f"{outcome.accepted} accepted; refused: {[(one.id, one.reason.value) for one in outcome.refused]}")
    for session in device.list():
        print(f"session {session.id}: {session.state.name}, {session.in_packets} packets in, {session.out_packets} out")
    for session in device.follow_closed():
        print(f"session {session.id} closed: {session.close_code.name}, {session.in_bytes + session.out_bytes} bytes")
        break
    print("deleted:", device.delete(1).id)
