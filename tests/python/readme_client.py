import sys, grpc, openoffload_pb2 as pb, openoffload_pb2_grpc as rpc
certificate, server = sys.argv[1], sys.argv[2]
credentials = grpc.ssl_channel_credentials(open(certificate, "rb").read())
table = rpc.SessionTableStub(grpc.secure_channel(server, credentials))
session = pb.sessionRequest(
    sessionId=1, inLif=1, outLif=2, sourceIp=0x0100000A, sourcePort=12345, destinationIp=0x0300010A,
    destinationPort=80, protocolId=pb._TCP, action=pb.actionParameters(actionType=pb._FORWARD), cacheTimeout=30)
print(table.addSession(iter([session]), timeout=5))
print(table.getSession(pb.sessionId(sessionId=1), timeout=5))
