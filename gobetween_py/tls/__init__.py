"""From `tls` and `backends_tls` of a config to contexts of OpenSSL, and what keeps them fresh.

ciphers       Go's names of cipher suites -> OpenSSL's
contexts      a section of the config -> SSLContext, or an error that names the file and the remedy
certificates  several certificates: which names each is for, and the choice by the name that a client asks for
renewal       follows the files, and has the contexts made anew
security      all of it for one server
"""
