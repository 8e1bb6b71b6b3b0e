"""Serves test pictures over RTSP until it is killed; the first line of its output is the port.

/usr/bin/python3 gstreamer_rtsp_server.py PORT WIDTH HEIGHT USER PASSWORD
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

Gst.init(None)
port, width, height, user, password = sys.argv[1:6]
video = f"videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=25/1"
h264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96"
launch = {
    "/cam": f"( {video} ! {h264} )",
    "/mjpeg": f"( {video},format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26 )",
    "/still": f"( {video.replace('ball', 'checkers-8')} ! {h264} )",
    "/black": f"( {video.replace('ball', 'black')} ! {h264} )",
    "/sound": "( audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 pt=0 )",
    "/udp": f"( {video} ! {h264} )",
}
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
if user:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
for path, pipeline in launch.items():
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline)
    factory.set_shared(True)
    if path == "/udp":
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    if user:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(path, factory)
server.attach(None)
print(server.get_bound_port(), flush=True)  # noqa: T201
GLib.MainLoop().run()
