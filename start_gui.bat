@echo off
rem Sets bracket up (once) and starts it: "start_gui.bat --help" lists the verbs. Works from any folder.
setlocal EnableExtensions DisableDelayedExpansion
title bracket

set "PICKED="
if defined BRACKET_PYTHON goto :given

call :fits py -3.12
if defined PICKED goto :start
call :fits py -3.11
if defined PICKED goto :start
call :fits py -3.13
if defined PICKED goto :start
call :fits py -3.14
if defined PICKED goto :start
call :fits python
if defined PICKED goto :start
call :fits python3
if defined PICKED goto :start
echo bracket: no Python 3.11 to 3.14 found. Install one from https://www.python.org/downloads/ ^(tick "Add to PATH"^),
echo or set BRACKET_PYTHON to where one is.
goto :failed

:given
call :fits "%BRACKET_PYTHON%"
if defined PICKED goto :start
echo bracket: BRACKET_PYTHON is not a Python 3.11 to 3.14. Set it to one, or unset it.
goto :failed

:start
rem -I: neither the caller's folder nor a user's site-packages may stand in for the standard library.
%PICKED% -I "%~dp0bracket\bootstrap.py" %*
set "CODE=%ERRORLEVEL%"
if "%CODE%"=="0" exit /b 0
if "%CODE%"=="130" exit /b 130
goto :keep_open

:failed
set "CODE=1"

:keep_open
rem A window opened by a double click would close before the reason can be read.
echo.
echo bracket ended with code %CODE%.
if not defined CI pause
exit /b %CODE%

:fits
%* -c "import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))" >nul 2>&1
if not errorlevel 1 set PICKED=%*
exit /b 0
