"""Tries what build scripts use of Python, its extensions above all."""

import array
import binascii
import bz2
import csv
import datetime
import decimal
import fcntl
import hashlib
import json
import lzma
import math
import mmap
import multiprocessing
import pickle
import platform
import random
import re
import select
import shutil
import socket
import struct
import subprocess
import sysconfig
import tempfile
import threading
import unicodedata
import uuid
import xml.etree.ElementTree
import zipfile
import zlib

assert hashlib.sha256(b"abc").hexdigest().startswith("ba7816bf")
assert hashlib.md5(b"abc").hexdigest().startswith("90015098")
assert hashlib.sha3_256(b"abc").hexdigest().startswith("3a985da7")
for codec in (zlib, bz2, lzma):
    assert codec.decompress(codec.compress(b"abc" * 1000)) == b"abc" * 1000
assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
assert subprocess.check_output(["echo", "abc"]) == b"abc\n"
assert xml.etree.ElementTree.fromstring("<a><b/></a>")[0].tag == "b"
assert uuid.uuid5(uuid.NAMESPACE_DNS, "a").version == 5
assert sysconfig.get_config_var("prefix") == "/usr"
