"""The answers of three nodes while one of them is away, or is being made good from another, as they were met."""

# 404 for a vector whose chunk is there: the replica that is being made good has not got it yet.
CHUNK_DENIED = (
    "Not found: 1 out of 6 shards failed to apply operation. First error captured: Not found: No point with id "
    "0b9f5a0c-6b1f-5d0e-9c53-0f3e8f0c1a2b found"
)
# 500 each.
WRITE_FAILED = (
    "Service internal error: 1 out of 6 shards failed to apply operation. First error captured: Service internal "
    "error: 1 of 2 replicas did not answer"
)
NO_ACTIVE_REPLICA = "Service internal error: The replica set for shard 0 on peer 1 has no active replica"
READ_FAILED = (
    "Service internal error: 1 of 1 read operations failed:\n  Service internal error: Tonic status error: code: 'The "
    "service is currently unavailable', message: \"Failed to connect to http://127.0.0.1:6335/, error: tcp connect "
    'error"'
)
