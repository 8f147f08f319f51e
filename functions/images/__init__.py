"""The images function."""
