"""Where the text of the config comes from, once or again and again.

    contract  what a source is: read now, and follow
    file      a file; inotify tells of changes
    url       http:// or https://; asked every so often whether it changed (ETag)
    consul    a key of Consul's key-value store; a blocking query tells of changes

What the text says is the business of gobetween_py/config.
"""
