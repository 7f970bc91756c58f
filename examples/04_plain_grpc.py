"""Dub a video without LipServe's client: one call of the standard KServe v2 protocol over gRPC.

python examples/04_plain_grpc.py VIDEO SPEECH OUTPUT [HOST:PORT]

This program uses the packages grpcio and tritonclient (for the generated messages) alone. In another
language, generate the messages and the stub from Triton's grpc_service.proto
(github.com/triton-inference-server/common, folder protobuf) with that language's protoc, and send the same
message:

    model_name  lipwarp           (or wav2lip, latentsync)
    inputs      VIDEO, AUDIO      BYTES [1]: the files as they are
                OPTIONS           BYTES [1]: JSON, docs/options.md lists the fields
    outputs     RESULT            BYTES [1]: the MP4
                REPORT            BYTES [1]: JSON

In raw_input_contents, every BYTES element is its length (4 bytes, little-endian) and then its content. One
request is one clip of up to about ten seconds: LipServe's client cuts longer clips and joins the results.
"""

import json
import struct
import sys
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

LARGEST = 512 << 20  # bytes of one message; gRPC's own limit is 4 MiB


def main(video: str, speech: str, output: str, url: str = "127.0.0.1:8001") -> None:
    tensors = {
        "VIDEO": Path(video).read_bytes(),
        "AUDIO": Path(speech).read_bytes(),
        "OPTIONS": json.dumps({"face": "largest"}).encode(),
    }
    request = service_pb2.ModelInferRequest(model_name="lipwarp")
    for name, content in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(struct.pack("<I", len(content)) + content)
    for name in ("RESULT", "REPORT"):
        request.outputs.add(name=name)

    options = [("grpc.max_send_message_length", LARGEST), ("grpc.max_receive_message_length", LARGEST)]
    with grpc.insecure_channel(url, options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            answer = stub.ModelInfer(request, timeout=120)
        except grpc.RpcError as error:  # "[lipserve:no_face] No face was found. ...": a code and a sentence
            sys.exit(str(error.details()))
    results = {
        tensor.name: content[4:]
        for tensor, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    Path(output).write_bytes(results["RESULT"])
    print(f"{output}: {json.loads(results['REPORT'])['frames']} frames")


if __name__ == "__main__":
    main(*sys.argv[1:])
